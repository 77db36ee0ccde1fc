PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Tests and benchmarks start programs by the thousand: none of them should compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-eos test test-fast chaos check lint format bench kafka conformance clean

# What `make test` installs beside the project. CI adds kafka, so that the conformance tests run against Apache Kafka too.
EXTRAS ?= test

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# One stamp per set of extras: pip runs again only when pyproject.toml changes.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: Python 3.11 or newer is needed (make PYTHON=python3.11 ...)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "cannot create $(VENV): on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

demo: $(VENV)/.installed-test ## run the broker's main job on real input and verify the result
	$(BIN)/python examples/demo.py

demo-eos: $(VENV)/.installed-test ## transactions while workers and the daemon are killed; verifies that nothing is lost or doubled
	$(BIN)/python examples/exactly_once.py

test: $(VENV)/.installed-$(EXTRAS) ## run all tests; those that need Apache Kafka are skipped without it
	@sh tests/run.sh $(BIN)/python

test-fast: $(VENV)/.installed-test ## run the tests that take seconds
	$(BIN)/python -m pytest -m 'not slow and not kafka'

SECONDS ?= 45
SEED ?= 0

chaos: $(VENV)/.installed-test ## groups under kill -9, SIGSTOP and restarts, verified; SECONDS=600 makes it longer, SEED=7 repeats one
	SHMBROKER_CHAOS_SECONDS=$(SECONDS) SHMBROKER_CHAOS_SEED=$(SEED) $(BIN)/python -m pytest -s tests/system/test_group_chaos.py

check: lint ## the gate before a commit: format, lint, types, imports, fast tests
	$(BIN)/python -m pytest -q -m 'not slow and not kafka'

lint: $(VENV)/.installed-dev ## the half of the gate that runs no code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## format the code and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-bench ## run the benchmarks; options in ARGS: --quick, --only NAME, --list
	$(BIN)/python -m benchmarks $(ARGS)

kafka: ## fetch a real Apache Kafka into .kafka/, the oracle of the conformance tests
	@sh tests/conformance/kafka/fetch.sh

conformance: $(VENV)/.installed-test,kafka kafka ## run the conformance tests against this broker and against Apache Kafka
	$(BIN)/python -m pytest tests/conformance

clean: ## remove what the other targets made
	rm -rf $(VENV) .kafka .pytest_cache .mypy_cache .ruff_cache .hypothesis
