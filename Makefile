# Everything a contributor types. A bare `make` lists it.

.DEFAULT_GOAL := help
.PHONY: help setup run check lint test format coverage docs prove prove-kills prove-cluster prove-model scenarios fuzz bench bench-postgres bench-peers profile lock clean

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2# test processes at once
PYTEST = $(BIN)/pytest -q -n $(JOBS) --dist worksteal
PURE_ROOMS := core outcome smpp
ARGS ?=# passed on: make run ARGS="--speed 10"

# Tests start hundreds of processes, and each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

# Stamps: what is installed in $(VENV), and from which files.
VENV_MADE := $(VENV)/pyvenv.cfg
RUN_READY := $(VENV)/.ready-to-run
DEV_READY := $(VENV)/.ready-to-develop
# The lock files name everything, so nothing is resolved: an older pip resolves `coverage[toml]`
# to a newer release than the pinned `coverage`, and then refuses it.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

# --- Set up ---------------------------------------------------------------------------

setup: $(DEV_READY) ## Make .venv with everything that development needs (quick the second time)

run: $(RUN_READY) ## Start Arrivals and its carrier world on this machine (ARGS= is passed on)
	@$(BIN)/arrivals dev $(ARGS)

$(VENV_MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Arrivals needs Python 3.11 or newer, and '$(PYTHON)' is not."; \
		echo "Name one that is:  make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make a virtual environment: its venv or ensurepip is missing."; \
		echo "On Debian and Ubuntu:  sudo apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(RUN_READY): requirements.txt pyproject.toml | $(VENV_MADE)
	@echo "Installing what Arrivals runs on into $(VENV)"
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) -e .
	@touch $@

$(DEV_READY): requirements.txt requirements-dev.txt pyproject.toml | $(VENV_MADE)
	@echo "Installing what Arrivals is developed with into $(VENV)"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@$(PIP) -e .
	@touch $(RUN_READY) $@

# --- Check ----------------------------------------------------------------------------

check: lint ## Format, lint, types, layers and the fast tests, in under a minute
	@$(PYTEST) -m "not slow" --hypothesis-profile=quick $(ARGS)

test: $(DEV_READY) ## What CI runs: everything that check does, and all tests
	@$(MAKE) --no-print-directory --jobs=2 lint coverage  # the first check of types takes long
	@$(PYTEST) -m "not measured" $(ARGS)  # coverage ran the others

lint: $(DEV_READY)
	@$(BIN)/ruff format --check --quiet . || { echo "Run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(DEV_READY) ## Format the code and mend what the linter can
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

coverage: $(DEV_READY) ## Branches of the pure rooms that their own tests miss (there are none)
	@for room in $(PURE_ROOMS); do \
		$(PYTEST) -m measured tests/$$room --cov=arrivals.$$room --cov-branch --cov-report= \
		&& $(BIN)/coverage report --include="src/arrivals/$$room/*" --fail-under=100 || exit 1; \
	done

docs: $(DEV_READY) ## Write what is drawn from the code: tables and diagrams in docs/, the dashboard
	@$(BIN)/python scripts/write_reference.py
	@$(BIN)/python scripts/draw_message_life.py
	@$(BIN)/python scripts/write_dashboard.py

# --- Prove ----------------------------------------------------------------------------

prove-kills: $(DEV_READY) ## Kill the server 20 times under 10,000 messages; nothing may be lost
	@$(BIN)/python -m tests.e2e.kill_run --kills 20 --messages 10000 $(ARGS)

prove-cluster: $(DEV_READY) ## Kill 2 API and 3 worker processes and their PostgreSQL under 50,000 messages
	@$(BIN)/python -m tests.e2e.cluster_run --messages 50000 --restarts 5 $(ARGS)

prove: $(DEV_READY) ## Every proof in its long form (hours, resumable); docs/guarantees.md gets the table
	@$(BIN)/python -m tests.proof $(ARGS)

prove-model: $(DEV_READY) ## Live 5,000 lives of an installation beside a reference, on each database
	@$(BIN)/python -m tests.model --examples 5000 $(ARGS)

scenarios: $(DEV_READY) ## Play every scenario; compare what is said with what really happened
	@$(BIN)/arrivals scenarios --jobs $(JOBS) $(ARGS)

fuzz: $(DEV_READY) ## Fuzz the API, SMPP, receipts, texts and files for ten minutes
	@$(BIN)/python -m tests.fuzz --minutes 10 $(ARGS)

bench-postgres: $(DEV_READY) ## Measure what one PostgreSQL carries, by processes and accounts
	@$(BIN)/python -m tests.bench.postgres $(ARGS)

bench: $(DEV_READY) ## Measure rates, latencies and targets beside what the machine could do
	@$(BIN)/python -m tests.bench $(ARGS)

profile: $(DEV_READY) ## See whose time a message takes, function by function
	@$(BIN)/python -m tests.bench.profile $(ARGS)

bench-peers: $(DEV_READY) ## Measure Kannel and Jasmin beside us; docs/peers.md gets the table
	@$(BIN)/python -m tests.bench.peers $(ARGS)

# --- Keep -----------------------------------------------------------------------------

# Lock with the oldest Python we support, so that its extra dependencies are in the files too.
# Versions stay as they are unless asked: make lock ARGS=--upgrade
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --no-emit-options

lock: $(DEV_READY) ## Write requirements*.txt anew from pyproject.toml, and what peers need
	@$(COMPILE) $(ARGS) --output-file=requirements.txt pyproject.toml
	@$(COMPILE) $(ARGS) --extra=test --extra=lint --constraint=requirements.txt \
		--output-file=requirements-dev.txt pyproject.toml
	@$(COMPILE) $(ARGS) --output-file=tests/peers/generators.txt tests/peers/generators.in

clean: ## Remove what the tools leave behind (not .venv, not arrivals-data)
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage* htmlcov dist build
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
