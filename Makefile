# make run     build all there is and serve the sample shop on 127.0.0.1:8080
# make test    build and test; needs nothing outside this folder but toolchains
# make help    the rest
.DEFAULT_GOAL := build
include native/native.mk

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: build
build: native ## bin/trirank
	go build -trimpath -ldflags '-X main.version=$(VERSION) -X main.faissLevel=$(FAISS_LEVEL)' -o bin/trirank ./cmd/trirank

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12
