# The short words of the README. Everything else is cargo.

DATA   ?= /var/lib/leme
RUN    := $(if $(filter 0,$(shell id -u)),,sudo)
TARGET := $(or $(CARGO_TARGET_DIR),target)
LEME   := $(TARGET)/release/leme
IMAGE  := $(TARGET)/images/sample.tar

.PHONY: up down build setup test

## Build Leme, start a cluster and serve the sample app; Ctrl-C stops it.
up: build
	$(RUN) $(LEME) image load $(IMAGE) --data-dir $(DATA)
	exec $(RUN) $(LEME) up --data-dir $(DATA) -f manifests/hello.yaml

## Stop the cluster; its state stays in $(DATA).
down:
	$(RUN) $(LEME) down --data-dir $(DATA)

build: setup
	@[ -e $(LEME) ] || echo "building Leme and its dependencies: the first time it takes some 15 minutes on 2 cores, 4 on 8"
	cargo build --release --locked --package leme
	cargo rustc --release --locked --package leme-sample -- -C target-feature=+crt-static
	manifests/sample/image $(TARGET)/release/leme-sample $(IMAGE)

setup:
	.ci/setup

## Pass the tests: style, rules, unit tests, simulations and black-box tests (as root: they make network namespaces).
test:
	.ci/setup test
	cargo fmt --check
	cargo xtask tidy
	cargo test --quiet --locked --manifest-path xtask/protoc/Cargo.toml --target-dir $(TARGET)/protoc
	cargo clippy --workspace --all-targets -- -D warnings
	$(MAKE) build
	cargo nextest run --workspace
