# The short words of the README. Everything else is cargo.

DATA ?= /var/lib/leme
RUN  := $(if $(filter 0,$(shell id -u)),,sudo)
LEME := target/release/leme

.PHONY: up down build setup test

## Build Leme, start a cluster and serve the sample app; Ctrl-C stops it.
up: build
	$(RUN) $(LEME) image load target/images/sample.tar --data-dir $(DATA)
	exec $(RUN) $(LEME) up --data-dir $(DATA) -f manifests/hello.yaml

## Stop the cluster; its state stays in $(DATA).
down:
	$(RUN) $(LEME) down --data-dir $(DATA)

build: setup
	cargo build --release --package leme
	cargo rustc --release --package leme-sample -- -C target-feature=+crt-static
	cargo xtask image

setup:
	.ci/setup

## Pass the tests: style, rules, unit tests, simulations and black-box tests (as root: they make network namespaces).
test:
	.ci/setup test
	cargo fmt --check
	cargo xtask tidy
	cargo clippy --workspace --all-targets -- -D warnings
	$(MAKE) build
	cargo nextest run --workspace
