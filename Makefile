# Every habit of this project. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONWARNINGS ?= default

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev models demo serve test lint format types docs lock clean

help: ## List every habit
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36mmake %-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Antiphon needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# A lock file with the same content is never installed twice: the stamp holds its name.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked dependencies into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the locked development tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
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

lint: setup-dev ## ruff and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

types: setup-dev ## pyright, strict
	@$(BIN)/pyright

format: setup-dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: setup ## Write docs/tools.md from the tools' definitions
	@$(BIN)/antiphon tools docs > docs/tools.md

lock: ## Write the lock files anew (needs uv)
	@scripts/lock.sh

clean: ## Remove what the commands above made, but not the models
	rm -rf $(VENV) demo-out bench-out dist .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov
