# `make` lists the targets. Each is one or two commands that you can as well type yourself.
.DEFAULT_GOAL := help
.PHONY: help build test race lint fuzz samples cross bench dist generate ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/easymicro
	go build -o bin/easymicro ./cmd/easymicro

test: ## run all tests
	go test ./...

race: ## run the tests under the race detector
	.ci/run race

lint: ## check format, modules and style (the first run builds the linter: minutes)
	.ci/run vet modules format lint

fuzz: ## fuzz every target for FUZZTIME (default 10s) each
	.ci/run fuzz

samples: ## run every sample as a user would
	.ci/run samples

cross: ## build and vet for linux, darwin and windows on amd64 and arm64
	.ci/run cross

bench: ## run the benchmarks of wire, policies and host
	go test -run '^$$' -bench . -benchmem ./wire/... ./policies/... ./host/...

dist: ## make binaries, deb, rpm, image and checksums in dist/, which must be empty (VERSION=v1.2.3)
	go run -C cmd/easymicro/packaging . -version "$(VERSION)"

generate: ## write the generated files anew
	.ci/run generate

ci: ## run all that has to pass before a change is merged
	.ci/run
