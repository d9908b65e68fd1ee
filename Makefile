# Two commands from a clean machine with Python 3.11 or newer and make:
#   make demo    install, and run the main job on photographs
#   make test    install what the tests need, and run them all

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Photographs for the demonstration: your own with PHOTOS="a.jpg b.jpg folder".
PHOTOS ?=
OUT ?= out/demo

.PHONY: demo test lint format weights bench pages clean

demo: $(VENV)/.demo
	$(BIN)/vultus demo --out $(OUT) $(PHOTOS)

test: $(VENV)/.dev weights
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

weights: $(VENV)/.dev
	$(BIN)/vultus models get --default

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev weights
	$(BIN)/python benchmarks/run.py

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

# Pages that are made from the manifest and from stored results.
pages: $(VENV)/.dev
	$(BIN)/vultus cards make --weights
	$(BIN)/vultus reproduce --page

clean:
	rm -rf $(VENV) out build dist
