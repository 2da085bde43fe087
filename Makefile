# Every verb of the project. `make` alone lists them.

.DEFAULT_GOAL := help
SHELL := /bin/sh
.PHONY: help run test check golden bench soak e2e image cluster cluster-down crds clean toolchain browser test-tools servers brokers postgres kubernetes deny python-clients web-example

# CI and contributors may keep build output and tools outside the checkout.
CARGO ?= cargo
TOOLS ?= $(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin
DENY_VERSION := 0.20.2

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: toolchain ## Run the relay on loopback with this machine's live figures; prints the dashboard's address
	@$(CARGO) build --release --package sse-relay
	@$(CARGO) run --quiet --release --package sse-relay -- demo $(ARGS)

test: toolchain browser test-tools servers brokers postgres kubernetes python-clients web-example ## Everything a contributor needs to pass; installs what it needs
	$(CARGO) test --workspace --no-fail-fast $(ARGS)

check: toolchain deny ## Format, lints as errors, licences, sources and bans, generated files
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --package sse-relay --no-default-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet
	$(TOOLS)/cargo-deny --workspace --all-features check bans licenses sources

golden: toolchain ## Write generated and golden files anew (then look at the difference)
	UPDATE_GOLDEN=1 $(CARGO) test --package relay-config
	UPDATE_GOLDEN=1 $(CARGO) test --package sse-relay-operator --test golden --test definition

crds: toolchain ## Write the CustomResourceDefinition anew, into crds/
	UPDATE_GOLDEN=1 $(CARGO) test --package sse-relay-operator --test definition

bench: toolchain servers python-clients ## Measure against the floor in one run; tables and charts in target/bench
	$(CARGO) build --release --package relay-bench --package sse-relay
	@PATH="$$(dirname "$$(sh scripts/install-python-clients.sh)"):$$PATH" target/release/relay-bench suite $(ARGS) || { code=$$?; test $$code -eq 3 || exit $$code; \
	  echo "Nothing was lost; the table says which targets are not met yet."; }

ROUNDS ?= 300
soak: toolchain servers ## Kill and drain the relay under load, ROUNDS times each (300, some minutes); counts what is lost
	SOAK_ROUNDS=$(ROUNDS) $(CARGO) test --release --package sse-relay --test restart faults -- --nocapture
	SOAK_ROUNDS=$(ROUNDS) $(CARGO) test --release --package sse-relay --test replicas faults -- --nocapture
	SOAK_ROUNDS=$(ROUNDS) $(CARGO) test --release --package sse-relay --test replicas mixed -- --nocapture --test-threads=1
	$(CARGO) test --release --package sse-relay --test replicas -- --nocapture --ignored --test-threads=1
	$(CARGO) test --release --package sse-relay --test running storm -- --nocapture --include-ignored

image: toolchain ## Images of both programs (ARCH=arm64 for that): archives, and in docker or podman
	@CARGO=$(CARGO) ARCH=$(ARCH) sh scripts/images.sh

# Where the node's end-to-end tests find the programs.
PROGRAMS ?= $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/release
BUILD_PROGRAMS = $(CARGO) build --release --package sse-relay --package sse-relay-operator

cluster: toolchain ## A cluster with the chart and a relay: kind, or a node of its own (needs root)
	$(BUILD_PROGRAMS)
	@PROGRAMS=$(PROGRAMS) scripts/try.sh up

cluster-down: ## Remove that cluster and all of it
	@scripts/try.sh down

e2e: toolchain ## The chart and relays on a real node, from beginning to end (needs root)
	$(BUILD_PROGRAMS)
	@PROGRAMS=$(PROGRAMS) e2e/run.sh

clean: ## Remove build output
	$(CARGO) clean

toolchain:
	@command -v $(CARGO) >/dev/null 2>&1 || { \
	  echo "Rust is not installed. Get it with rustup (https://rustup.rs), then run make again;" >&2; \
	  echo "rust-toolchain.toml says which version, and rustup installs it by itself." >&2; exit 1; }
	@command -v cc >/dev/null 2>&1 || { \
	  echo "A C compiler is missing; it links the programs (Debian: apt-get install gcc)." >&2; exit 1; }

browser:
	@sh scripts/install-browser.sh

test-tools:
	@sh scripts/install-test-tools.sh

servers:
	@sh scripts/install-servers.sh

postgres:
	@sh scripts/install-postgres.sh

brokers:
	@sh scripts/install-brokers.sh

python-clients:
	@sh scripts/install-python-clients.sh >/dev/null

web-example:
	@sh scripts/install-web-example.sh >/dev/null

deny:
	@test -x $(TOOLS)/cargo-deny && $(TOOLS)/cargo-deny --version | grep -q $(DENY_VERSION) || \
	  $(CARGO) install cargo-deny --locked --version $(DENY_VERSION)

# What the operator's tests run against: built once, some minutes (Kubernetes not, if KUBEBUILDER_ASSETS
# is set).
kubernetes:
	@test -n "$$KUBEBUILDER_ASSETS" || sh scripts/kubernetes.sh >/dev/null
	@sh scripts/helm.sh 3 >/dev/null && sh scripts/helm.sh 4 >/dev/null
