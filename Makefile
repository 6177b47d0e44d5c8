# make demo and make test are all that a fresh machine with Go needs.

GOFUMPT := mvdan.cc/gofumpt@v0.12.0
LINT    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME := 10m

.PHONY: build install build-live install-live pcap demo test test-tools test-wireshark check generate bench profile bench-stages fuzz clean

# A static binary without libpcap: it reads files everywhere.
build:
	CGO_ENABLED=0 go build -trimpath -o nubishark ./cmd/nubishark

# With live capture: needs a C compiler and libpcap.
build-live: pcap
	go build $(TAGS) -trimpath -o nubishark ./cmd/nubishark

install-live: pcap
	go install $(TAGS) -trimpath ./cmd/nubishark

# libpcap's headers, installed where that can be done; without them, everything is built but live capture.
HEADERS := /usr/include/pcap.h /usr/local/include/pcap.h /opt/homebrew/include/pcap.h
pcap:
	@test -n "$(wildcard $(HEADERS))" || { command -v apt-get >/dev/null && { export DEBIAN_FRONTEND=noninteractive; \
	  apt-get install -y -qq libpcap-dev >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq libpcap-dev >/dev/null; }; }; } || \
	  echo "libpcap is not there: live capture is left out"
TAGS = $(shell ls $(HEADERS) 2>/dev/null | grep -q . || echo -tags nolive)

install:
	CGO_ENABLED=0 go install -trimpath ./cmd/nubishark

demo: build
	./nubishark read testdata/session.pcapng

# The tests compare with tshark and play the plugin in plain Lua, where these are there; -race needs a C compiler.
TOOLS := tshark:tshark sharkd:wireshark-common ip:iproute2 lua5.2:lua5.2 lua5.4:lua5.4 luajit:luajit luacheck:lua-check
test-tools:
	@missing=; for t in $(TOOLS); do command -v $${t%%:*} >/dev/null || missing="$$missing $${t#*:}"; done; \
	test -z "$$missing" || { command -v apt-get >/dev/null && export DEBIAN_FRONTEND=noninteractive && \
	  { apt-get install -y -qq $$missing >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq $$missing >/dev/null; }; } ; } || \
	  echo "not there:$$missing; the tests that need them are left out"

test: test-tools pcap
	go vet $(TAGS) ./...
	go test $(TAGS) ./...

check: test-tools pcap
	@out=$$(go run $(GOFUMPT) -l .); test -z "$$out" || { echo "gofumpt:"; echo "$$out"; exit 1; }
	go vet ./...
	go run $(LINT) run ./...
	go test -race ./...

# The plugin in tshark of Debian's suites (3.4, 4.4, 4.6), each in a folder of its own: needs root, and 400 MB each. A suite
# that cannot be installed is left out.
WIRESHARKS ?= $(HOME)/.cache/nubishark/wireshark
SUITES := bullseye trixie sid
test-wireshark: test-tools
	@command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap >/dev/null || true
	@mkdir -p $(WIRESHARKS); there=; for s in $(SUITES); do d=$(WIRESHARKS)/$$s; test -x $$d/usr/bin/tshark || \
	  debootstrap --variant=minbase --include=tshark $$s $$d >$$d.log 2>&1 || true; \
	  if chroot $$d tshark --version >/dev/null 2>&1; then there=$$there,$$d; else echo "$$s could not be installed, see $$d.log"; fi; done; \
	set -x; go test ./lua -run 'TestVersions|AtLength' -v -wireshark "$${there#,}" && \
	go test ./cmd/nubishark -run TestFilters -v -wireshark "$${there#,}"

generate:
	go generate ./...

# The whole program beside tcpdump and tshark, where they are there; the tables and the plot go into docs/performance.md.
bench:
	go run ./internal/bench

# What the compiler takes to be used most: where the program spends its time while it reads.
profile:
	CGO_ENABLED=0 go test -tags nolive -trimpath -run '^$$' -bench Read -benchtime 5s -cpuprofile cmd/nubishark/default.pgo -o /dev/shm/nubishark.test ./cmd/nubishark
	rm -f /dev/shm/nubishark.test
	gzip -dc cmd/nubishark/default.pgo | LC_ALL=C perl -pe 's{(/tmp/go-build\d+/b\d+)}{"." x length $$1}ge' | gzip -9n >default.pgo && mv default.pgo cmd/nubishark/default.pgo

# Each stage by itself.
bench-stages:
	go test -run '^$$' -bench . -benchmem ./...

# Every fuzz target for FUZZTIME, one after the other.
fuzz:
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	  echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

clean:
	rm -f nubishark
