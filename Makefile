# `make help` lists the targets. All of them may be called by root (then everything runs as the user kalibri, from a
# copy of the checkout: tools/as_user.sh) or by an ordinary user (who needs root or sudo once, for Debian packages).

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

AS_USER := tools/as_user.sh
PYTHON := $(AS_USER) .venv/bin/python
PYTEST := $(AS_USER) .venv/bin/pytest -q
RUFF := $(AS_USER) .venv/bin/ruff
# A file's tests share what they have started, so they stay in one process.
WORKERS ?= 2
FUZZ_SECONDS ?= 300
PARALLEL := -n $(WORKERS) --dist loadfile

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- run

.PHONY: install venv demo run down status
install venv: ## Install what is missing: Debian packages (root or sudo) and .venv
	@tools/install.sh

.PHONY: install-tests
install-tests: ## As install, and the browser that tests drive
	@tools/install.sh --tests

demo: run ## Start everything on loopback, place real calls, say what happened; leaves it running
	@tools/launch.sh tools.demo

run: install ## Start everything on loopback
	@./ksinit up

down: ## Stop everything that run or demo started
	@[ ! -e .venv ] || ./ksinit down

status: ## Show every process: does it run, does it answer?
	@./ksinit status

# ---- check and test

.PHONY: check test lint type format test-unit test-integration test-scenarios schema-check fuzz
check: lint type test-unit schema-check ## Lint, types, unit tests, schema = sum of migrations

# Tests of calls share few cores with the servers they start. What failed beside others runs once more, alone and one
# after the other; what fails then is broken, and what passed is named above all the same.
test: install-tests lint type ## All that continuous integration runs: check, integration, scenarios
	@$(PYTEST) $(PARALLEL) tests || { [ $$? -eq 1 ] && echo "once more, alone:" && \
	  $(PYTEST) --last-failed --last-failed-no-failures none --maxfail 5 tests; }

lint: install ## Style and format (ruff)
	@$(RUFF) check
	@$(RUFF) format --check

format: install ## Mend style and format
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

type: install ## Types (mypy --strict)
	@$(AS_USER) .venv/bin/mypy

test-unit: install ## Tests without server, socket or sleep
	@$(PYTEST) tests/unit

test-integration: install-tests ## Tests with real PostgreSQL, RTPProxy, Kamailio
	@$(PYTEST) $(PARALLEL) tests/integration

test-scenarios: install ## SIP end to end, each scenario with an instance of its own
	@$(PYTEST) $(PARALLEL) tests/scenarios

schema-check: install ## schema.sql equals the sum of the migrations
	@$(PYTEST) tests/migration

fuzz: install ## Property tests with many more examples (FUZZ_SECONDS for each, default 300)
	@KALIBRI_FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) tests/unit/ks_route
	@$(PYTEST) -m hypothesis --hypothesis-profile fuzz tests

# ---- measure

.PHONY: bench-route bench-acd bench-api bench-proxy bench-pacing bench-ears bench-media-host bench-rtp
bench-route: install ## Routing core: table and bench/out/route.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.route

bench-pacing: install ## Predictive pacing against other rules: bench/out/pacing.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.pacing

bench-ears: install ## Tones, messages, people and machines in noise (minutes): table and bench/out/ears.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.ears $(if $(SCALE),--scale $(SCALE))

bench-acd: install ## Call distribution under load (real SIP and RTP): table and bench/out/acd.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.acd

bench-api: install ## The API: requests, a thousand listeners, rows of calls: bench/out/api.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.api

bench-rtp: install ## Cost of media against rtpengine, of the RTP controller: table and bench/out/rtp.json
	@$(AS_USER) --back bench/out sh -c '.venv/bin/python -m bench.rtp && .venv/bin/python -m bench.recording'

bench-proxy: install ## Cost of a call in the proxy: table and bench/out/proxy.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.proxy

.PHONY: storm bench-acd-match
storm: install ## Call distribution under 100,000 random operations with killed connections (minutes)
	@KALIBRI_STORM_OPERATIONS=$(or $(OPERATIONS),104000) $(PYTEST) tests/integration/acd/test_storm.py

bench-acd-match: install ## Match function, 5,000 agents and 1,000 waiting: table and bench/out/acd.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.acd_match

bench-media-host: install ## Cost of a held and of a joined call in a media host: table and bench/out/media_host.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.media_host

.PHONY: bench-lead-import bench-ivr bench-dial
bench-lead-import: install ## A list of 100,000 leads imported, again, and taken from: bench/out/lead_import.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.lead_import

bench-ivr: install ## Calls a second through a scenario of three menus: table and bench/out/ivr.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.ivr

bench-dial: install ## Automatic dialling, every lead accounted for: table and bench/out/dial.json
	@$(AS_USER) --back bench/out .venv/bin/python -m bench.dial

.PHONY: clean
clean: ## Remove the Python environment and caches; run data (KALIBRI_HOME) stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
