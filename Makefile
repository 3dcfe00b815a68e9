# Dropwire's tasks. Two commands matter: `make run` and `make test`. Bare `make` lists them all.

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT   = $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends
# Debian keeps the server's programs out of PATH.
HAVE_POSTGRES = command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres >/dev/null 2>&1

.PHONY: help run test fuzz check openapi bench bench-rest bench-rules bench-dispatch chaos ci deps-build deps-postgres deps-test deps-clients deps-bench
.DEFAULT_GOAL := help

help: ## List the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

run: deps-build deps-postgres ## Build and start Dropwire with demo data on http://127.0.0.1:54321
	@cargo build --release --locked
	@exec target/release/dropwire dev

test: deps-build deps-postgres deps-test deps-clients ## Run the whole suite against a real PostgreSQL
	cargo test --locked

fuzz: deps-build ## Feed the request parsers for longer than the suite does
	PROPTEST_CASES=$${PROPTEST_CASES:-50000} cargo test --locked --lib rest::request

check: deps-build ## Formatting, lints, documentation
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

openapi: deps-build ## Write openapi/dropwire.yaml anew
	@mkdir -p openapi
	cargo run --locked -- openapi > openapi/dropwire.yaml.new && mv openapi/dropwire.yaml.new openapi/dropwire.yaml

bench: deps-build deps-postgres deps-bench ## Measure telegram-webhook beside pgbench
	cargo build --release --locked
	benches/telegram-webhook.sh

bench-rest: deps-build deps-postgres deps-bench ## Measure /rest/v1 beside pgbench
	cargo build --release --locked
	benches/rest.sh

bench-rules: deps-build deps-postgres ## Measure a ticket with 50 rules beside one with none
	cargo build --release --locked
	benches/rules.sh

bench-dispatch: deps-build deps-postgres ## Measure the dispatcher beside its limits (half an hour; SNAPSHOT_SECONDS=30 for less)
	cargo bench --locked --bench dispatch

chaos: deps-build deps-postgres ## Kill dispatchers and PostgreSQL 500 times and look for what is lost (CHAOS_SEED replays)
	CHAOS_KILLS=$${CHAOS_KILLS:-500} cargo test --locked --test it -- chaos:: --nocapture

ci: check test ## What continuous integration runs

# The linker and C compiler that Rust's toolchain and the TLS library need.
deps-build:
	@command -v cc >/dev/null || { $(APT) gcc libc6-dev; }

# The server's programs only; Debian is told not to create and start a cluster of its own.
deps-postgres:
	@{ $(HAVE_POSTGRES); } || { \
	  $(SUDO) mkdir -p /etc/postgresql-common && \
	  echo 'create_main_cluster = false' | $(SUDO) tee /etc/postgresql-common/createcluster.conf >/dev/null && \
	  $(APT) postgresql; }

# The suite pastes the printed curl into a shell, and looks at the pages with a real browser.
deps-test:
	@command -v curl >/dev/null || { $(APT) curl; }
	@command -v chromium >/dev/null || { $(APT) chromium; }

# Others' tools: supabase-js, and what reads the OpenAPI document: a TypeScript client's and a fuzzer. Installed anew when
# their pins change.
CLIENT = tests/clients/typescript
SUPABASE_JS = tests/clients/supabase-js
FUZZER = tests/clients/schemathesis

deps-clients: $(CLIENT)/node_modules/.package-lock.json $(SUPABASE_JS)/node_modules/.package-lock.json target/schemathesis/installed.txt

tests/clients/%/node_modules/.package-lock.json: tests/clients/%/package-lock.json
	@command -v npm >/dev/null || { $(APT) nodejs npm; }
	cd tests/clients/$* && npm ci --loglevel=error
	@touch $@

target/schemathesis/installed.txt: $(FUZZER)/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || { $(APT) python3-venv; }
	python3 -m venv --clear target/schemathesis
	target/schemathesis/bin/python -m pip install --quiet --disable-pip-version-check -r $(FUZZER)/requirements.txt
	@cp $(FUZZER)/requirements.txt $@

deps-bench:
	@command -v wrk >/dev/null || { $(APT) wrk; }
