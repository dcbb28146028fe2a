# Every habit of this project. `make help` lists them.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Which Python makes .venv; left out, the first of these that is new enough.
PYTHON ?=
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev models demo serve test test-coqui test-clients test-conformance lint format types bench eval docs lock clean

help: ## List every habit
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36mmake %-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A candidate is run, not just found: a shim on the PATH may stand for a Python that is not there.
$(BIN)/python:
	@for python in $(or $(PYTHON),$(PYTHONS)); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Creating $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv $(VENV) && exit 0; rm -rf $(VENV); exit 1; \
	  fi; \
	done; \
	echo "Antiphon needs Python 3.11 or newer; tried: $(or $(PYTHON),$(PYTHONS))." >&2; \
	echo "Install one, then say where it is: make PYTHON=/path/to/python3.12" >&2; exit 1

# The stamps keep what is installed already from being installed again.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked dependencies into $(VENV)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the locked development tools into $(VENV)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.bench: requirements-bench.lock $(VENV)/.runtime
	@echo "Installing what the benchmarks need into $(VENV)"
	@$(PIP) install --require-hashes -r requirements-bench.lock
	@touch $@

setup: $(VENV)/.runtime ## Create .venv with the locked dependencies
setup-dev: $(VENV)/.dev ## The same, with the development tools

models: setup ## Fetch and hash-check the default models
	@$(BIN)/antiphon models pull --default

demo: models ## The main job, end to end, on real speech; leaves demo-out/
	@$(BIN)/antiphon demo --out demo-out

serve: models ## Start the server on 127.0.0.1:8080
	@$(BIN)/antiphon serve

test: setup-dev ## Lint, types and the whole test suite, with coverage
	@$(BIN)/antiphon models pull --default --tests
	@$(MAKE) --no-print-directory lint types
	@scripts/test.sh

test-coqui: setup-dev ## The tests of the extra `coqui`, in an environment of its own (1.8 GB)
	@$(BIN)/antiphon models pull piper-en_US-joe-medium whisper-tiny.en
	@scripts/test_coqui.sh

test-clients: setup-dev ## OpenAI's Node client, Pipecat and LiveKit against a running server
	@$(BIN)/antiphon models pull --default
	@scripts/test_clients.sh

test-conformance: setup-dev ## The conformance suite of the Model Context Protocol, and its Inspector (needs npm packages, 110 MB)
	@scripts/test_conformance.sh

lint: setup-dev ## ruff and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

types: setup-dev ## pyright, strict
	@$(BIN)/pyright

format: setup-dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: models $(VENV)/.bench ## Measure everything, peers included; leaves bench-out/report.html
	@$(BIN)/python -m benchmarks all

eval: models setup-dev ## Measure recognition, turns and all the rest of `antiphon eval`; leaves eval-out/report.html
	@$(BIN)/antiphon models pull --tests
	@$(BIN)/antiphon eval all --corpus $${ANTIPHON_SPEECH_DIR:-../shared/speech}

docs: setup ## Write docs/tools.md and the generated tables anew
	@$(BIN)/python scripts/docs.py

lock: ## Write the lock files anew (needs uv)
	@scripts/lock.sh

clean: ## Remove what the commands above made, but not the models
	rm -rf $(VENV) demo-out bench-out eval-out dist .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov
