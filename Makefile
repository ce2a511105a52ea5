# Two commands on a fresh machine with only Python (3.11 or newer) and make: `make demo` and `make test`.
# PIP_ARGS goes to pip: an index with CPU builds of torch, for example (README.md).

PYTHON ?= python3
PIP_ARGS ?=
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo demo-light test lint format docs docs-tables clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: $(INSTALLED)  ## make .venv and install everything into it (about 6.5 GB with torch)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("radikal-datasets needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off $(PIP_ARGS) --editable '.[all]'
	@touch $@

demo: install  ## sample X-ray castings -> verify -> prepare -> train -> a page of predictions beside the ground truth
	$(BIN)/python training/demo.py

demo-light:  ## the same without training, on the core packages alone (600 MB): sample, verify, prepare, statistics, gallery, leaks
	$(PYTHON) -m venv .venv-light
	.venv-light/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off $(PIP_ARGS) .
	.venv-light/bin/radikal-datasets demo-light

test: install  ## run the tests, on up to four cores
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: install  ## ruff, pyright, the directions of imports, the word list
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python .ci/words.py

format: install  ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs-tables: install  ## write the tables about sources into README and docs, from the facts in radikal_datasets/sources
	$(BIN)/python docs/source_tables.py

docs: install  ## build the site into site/
	$(BIN)/mkdocs build --strict

clean:  ## remove what the targets made, except the environment
	rm -rf demo site dist .pytest_cache .ruff_cache .hypothesis
