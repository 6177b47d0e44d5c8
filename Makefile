# make demo and make test are all that a fresh machine with Go needs.

GOFUMPT := mvdan.cc/gofumpt@v0.12.0
LINT    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME := 10m

.PHONY: build install demo test test-tools check generate bench bench-stages fuzz clean

# A static binary without libpcap: it reads files everywhere.
build:
	CGO_ENABLED=0 go build -trimpath -o nubishark ./cmd/nubishark

install:
	CGO_ENABLED=0 go install -trimpath ./cmd/nubishark

demo: build
	./nubishark read testdata/session.pcapng

# The tests compare with tshark where it is there; -race needs a C compiler.
test-tools:
	@command -v tshark >/dev/null || { command -v apt-get >/dev/null && \
	  { apt-get install -y -qq tshark >/dev/null 2>&1 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq tshark >/dev/null; }; } ; } || \
	  echo "tshark is not there: the comparisons with it are left out"

test: test-tools
	go vet ./...
	go test ./...

check: test-tools
	@out=$$(go run $(GOFUMPT) -l .); test -z "$$out" || { echo "gofumpt:"; echo "$$out"; exit 1; }
	go vet ./...
	go run $(LINT) run ./...
	go test -race ./...

generate:
	go generate ./...

# The whole program beside tcpdump and tshark, where they are there; the tables and the plot go into docs/performance.md.
bench:
	go run ./internal/bench

# Each stage by itself.
bench-stages:
	go test -run '^$$' -bench . -benchmem ./...

# Every fuzz target for FUZZTIME, one after the other.
fuzz:
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	  echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

clean:
	rm -f nubishark
