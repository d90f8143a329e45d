# Every target makes its own virtual environment first: a fresh clone needs python >= 3.11 and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test checks coverage check agreement bench reproduce clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

demo: .venv/demo        ## train a classifier on the disc and draw its network, points and curves into out/
	$(BIN)/graphdl run disc

test: .venv/dev         ## every test: about 10 minutes on two cores; the dots show how far it is
	$(BIN)/python -m pytest -n auto --dist worksteal

checks: .venv/dev       ## every shared check of every case of an operator, and C++ in both types
	$(BIN)/python -m pytest --every-check tests/operators tests/cpp -n auto --dist worksteal

coverage: .venv/dev     ## every test, and how much of the package they run
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term

agreement: .venv/dev    ## 2,000 random networks trained in every way, against torch's autograd and optimizers; half an hour
	$(BIN)/python -m tests.agreement --networks 2000 --jobs 2

check: .venv/dev        ## style, types, the direction of imports, and the code in the documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/test_docs.py

bench: .venv/bench      ## speed and memory, side by side with peers, into docs/benchmarks.md; about half an hour
	$(BIN)/python -m benchmarks

reproduce: .venv/demo   ## the published experiments of five systems, into docs/systems.md; under 20 minutes
	$(BIN)/graphdl reproduce --out docs

clean:                  ## remove what the targets made
	rm -rf .venv out build dist .import_linter_cache *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

.venv/torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "graphdl needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(PIP) torch
	@touch $@

.venv/demo: .venv/torch pyproject.toml
	$(PIP) --editable '.[demo]'
	@touch $@

.venv/dev: .venv/torch pyproject.toml
	$(PIP) --editable '.[dev]'
	@touch $@

.venv/bench: .venv/torch pyproject.toml
	$(PIP) --editable '.[bench]'
	@touch $@
