# `make help` lists the targets; README.md says how to run and test without make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHELL := /bin/bash

.PHONY: run test fuzz test-faults lint docs docs-serve fonts bench mutants licenses install install-docs install-test viz clean help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: install  ## Everything on the embedded sample: install, pre-train, fine-tune, evaluate, report
	$(BIN)/kedro run

test: install-test lint  ## Linters, import contracts, types, tests
	$(BIN)/pytest

SEED ?= 0
FUZZ_EXAMPLES ?= 2000

fuzz: install-test  ## Thousands of drawn inputs for every parser and parameter; SEED=1 draws others, FUZZ_EXAMPLES more
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest --hypothesis-profile=fuzz --hypothesis-seed=$(SEED) \
		tests/fuzz tests/test_absurd_parameters.py tests/scoring/test_guarded_cells.py

test-faults: install-test  ## Kill runs, fill disks and send a minute of slow clients; SEED=1: at other moments
	FAULT_ROUNDS=10 FAULT_SECONDS=60 FAULT_SEED=$(SEED) $(BIN)/pytest -s \
		tests/faults tests/reading/test_slow_clients.py tests/crops/test_killed_ingest.py tests/crops/test_full_disk.py

lint: install-test  ## Linters, import contracts, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: install-docs  ## The site of docs/, with the reference, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

docs-serve: docs  ## The same at http://127.0.0.1:8800, with its search
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory build/site 8800

fonts:  ## Free fonts and word lists for rendered words, into data/01_raw (npm, apt-get)
	$(PYTHON) scripts/fetch_fonts.py

bench: install  ## How fast the parts are here, each beside the plain way, as a table and in bench.json
	$(BIN)/python -m benchmarks --json bench.json

mutants: install-test  ## Change the code at random, 200 times, and count what the tests notice
	$(BIN)/python tests/mutants.py

licenses: install-test  ## The license of each dependency, into docs/dependencies.md
	$(BIN)/python scripts/list_licenses.py

viz: install  ## Draw the pipelines in the browser, the stages as boxes
	(sleep 15 && $(PYTHON) -m webbrowser -t "http://127.0.0.1:4141/?types=nodes") & $(BIN)/kedro viz run --no-browser

install: $(VENV)/.installed  ## Make .venv with the project in it

install-docs: $(VENV)/.installed-docs  ## The same, with what builds the site

install-test: $(VENV)/.installed-test  ## The same, with what the tests need

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[docs]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/.installed $(VENV)/.installed-docs

clean:  ## Remove the environment, the caches and what tools built; data and results stay
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
