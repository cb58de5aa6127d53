# Naosu: every task of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build release test matrix lint fmt bench demo demos lab lab-list fuzz clean

# Tools that setup installs live in .tools, not in the system.
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/.tools/venv/bin:$(CURDIR)/.tools/node_modules/.bin:$(PATH):/usr/sbin:/sbin

SCENARIO ?= nsg-deny-10250
# Where binaries of the dev profile are. Everything is built with --workspace, so
# that one set of features serves all and no dependency is built twice.
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
# Seconds that each fuzz target runs in `make fuzz`.
FUZZ_SECONDS ?= 60

help: ## List the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install what building, linting and testing need, saying what
	@scripts/setup.sh

build: ## Build everything (dev profile)
	@scripts/setup.sh build
	cargo build --workspace --locked

release: ## Build the naosu binary, optimised
	@scripts/setup.sh build
	cargo build --release --locked --workspace --bin naosu

test: ## Run all tests; those on real packets need root or a user namespace
	@scripts/setup.sh test
	cargo build --workspace --bins --locked
	@scripts/warm_plugin_cache.sh $(BUILT)
	cargo test --workspace --doc --locked --quiet
	cargo nextest run --workspace --locked --no-fail-fast

matrix: ## Write the README's matrix of plugins anew, from what the tests walk
	NAOSU_WRITE_MATRIX=1 cargo nextest run --workspace --locked -E 'test(the_readme_shows_the_matrix)'

lint: ## Check format, clippy, docs, protocol, licences and spelling
	@scripts/setup.sh lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	@if command -v buf >/dev/null; then echo "buf lint"; buf lint; else echo "SKIPPED: buf lint (buf is missing)"; fi
	@if command -v cargo-deny >/dev/null; then echo "cargo deny"; cargo fetch --locked --quiet; cargo deny --offline --log-level error check licenses bans sources; else echo "SKIPPED: cargo deny (cargo-deny is missing)"; fi
	@if command -v typos >/dev/null; then echo "typos"; typos; else echo "SKIPPED: typos (typos is missing)"; fi

fmt: ## Format the code
	cargo fmt --all

bench: ## Measure speed and size (release build); prints the promised limits beside
	@scripts/setup.sh bench
	@scripts/bench.sh

demo: ## Show the whole product on the lab: make demo SCENARIO=nsg-deny-10250
	@scripts/setup.sh demo
	cargo build --locked --quiet --workspace --bins
	@$(BUILT)/naosu-demo "$(SCENARIO)"

demos: ## Show every scenario's demonstration, as tests
	@scripts/setup.sh test
	cargo build --workspace --bins --locked
	@scripts/warm_plugin_cache.sh $(BUILT)
	cargo nextest run --workspace --locked --no-fail-fast --ignore-default-filter -E 'binary(demos)'

lab: ## Serve a lab to try things on: make lab SCENARIO=nsg-deny-10250
	@scripts/setup.sh demo
	cargo build --locked --quiet --workspace --bins
	$(BUILT)/naosu-lab serve --scenario "$(SCENARIO)"

lab-list: ## List the lab's scenarios
	@scripts/setup.sh build
	@cargo build --locked --quiet --workspace --bins
	@$(BUILT)/naosu-lab list

fuzz: ## Fuzz every parser of outside text for FUZZ_SECONDS each
	@scripts/setup.sh fuzz
	@scripts/fuzz.sh $(FUZZ_SECONDS)

clean: ## Remove what was built
	cargo clean
