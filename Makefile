.PHONY: build test check

build:
	CGO_ENABLED=0 go build -o nubishark ./cmd/nubishark

test:
	go test ./...
