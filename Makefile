# Everything a newcomer or CI runs. `make` alone lists it.

# Where cargo puts what it builds.
TARGET = $(or $(CARGO_TARGET_DIR),target)

.PHONY: help setup demo test bench check

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## install what is missing beside Rust (quick when nothing is)
	@deploy/setup.sh

demo: setup ## the main job on a generated city; ARGS="--employers 500 --exit" for more
	cargo build --release --locked
	$(TARGET)/release/ltcgw demo $(ARGS)

# Tests of one binary share one PostgreSQL, so this is cargo test and not a process per test.
test: setup ## all tests, with PostgreSQL, certificates and sockets; ARGS="name" for some
	@deploy/setup.sh tests
	cargo test --locked $(ARGS)

bench: setup ## the yardsticks, as ratios from one run
	cargo bench --locked $(ARGS)

check: setup ## formatting, lints, adapters and their samples
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features -- -D warnings
	cargo run --locked --quiet -- adapter check
	cargo run --locked --quiet -- adapter test
