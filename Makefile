# Everything here needs Python 3.11+ and make; the rest is installed into .venv on first use.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-services check lint types contracts format coverage bench soak fuzz audit reference clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv with everything needed

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer (with venv) is needed; name it with: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (first use, or pyproject.toml changed) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP) ## two agents, then four, in real processes, then a whole estate (VERBOSE=1 shows their logs)
	@$(BIN)/templemeads demo $(if $(VERBOSE),--verbose)

test: $(STAMP) ## the tests, on all cores (three minutes on two)
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadgroup -m "not soak and not services"

test-services: $(STAMP) ## tests against real servers, which are installed if they are missing
	@tests/services/install
	@$(BIN)/python -m pytest -q -m services tests/services

check: lint types contracts ## lint, format, types, import contracts

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/flake8-async --enable=ASYNC101,ASYNC102,ASYNC103,ASYNC104,ASYNC119 $$(find paddington templemeads cli -name '*.py')

types: $(STAMP)
	@$(BIN)/mypy

contracts: $(STAMP)
	@$(BIN)/lint-imports

format: $(STAMP) ## let ruff format the tree
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(STAMP) ## the benchmarks, beside what they are compared to; JSON=directory keeps the figures
	@$(BIN)/python -m benchmarks $(if $(JSON),--json $(JSON))

soak: $(STAMP) ## the long runs: simulated networks for hours, real processes for a minute
	@$(BIN)/python -m pytest -m soak

fuzz: $(STAMP) ## coverage-guided fuzzing of everything that takes foreign bytes; SECONDS=60 for each target
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	@$(BIN)/python -m fuzz.run --seconds $(or $(SECONDS),60)

audit: $(STAMP) ## known weaknesses in what requirements-dev.lock pins
	@$(BIN)/python -m pytest -q tests/test_lock.py
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements-dev.lock

reference: $(STAMP) ## write docs/configuration.md from the code
	@$(BIN)/python docs/make_configuration.py

coverage: $(STAMP) ## the tests, with branch coverage
	@$(BIN)/coverage run -m pytest && $(BIN)/coverage report

clean: ## remove what make made
	rm -rf $(VENV) .venvs .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov
