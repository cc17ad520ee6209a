# Two commands do everything on a bare Debian or Ubuntu with Python 3.11 or newer:
#   make quickstart    install, then the full pipeline: data, training, evaluation, GGUF, council, report
#   make test          install, then every check and test (STRICT=1: missing test parts fail; `make parts` gets them)
#   make proof         install, then the pipeline on a real 135 M base: import, LoRA, exam, gate, GGUF, council
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$name && break; done || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar off --constraint constraints.txt
export OMP_NUM_THREADS := 1
export OMP_WAIT_POLICY := PASSIVE
STRICT ?=

.PHONY: help quickstart proof test parts faults check fix docs unit clean

help:
	@sed -n '1,4p' Makefile; echo "#   make check | unit | parts | faults | fix | docs | clean"

$(BIN)/python:
	@sh scripts/preflight.sh "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: constraints.txt | $(BIN)/python
	@echo "installing torch (once; some hundred MB)"
	$(PIP) torch==2.13.0
	@touch $@

$(VENV)/.quickstart: pyproject.toml setup.py constraints.txt $(VENV)/.torch
	@echo "installing afs with what the quick start needs"
	$(PIP) --editable '.[quickstart]'
	@touch $@

$(VENV)/.all: pyproject.toml setup.py constraints.txt $(VENV)/.torch
	@echo "installing afs with every extra and the tools of development"
	$(PIP) --editable '.[all,dev]'
	@touch $@ $(VENV)/.quickstart

quickstart: $(VENV)/.quickstart
	$(BIN)/afs quickstart

proof: $(VENV)/.all
	$(BIN)/python bench/proof.py proof-workspace

check: $(VENV)/.all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/reference.py --check
	$(BIN)/mkdocs build --strict --quiet

unit: $(VENV)/.all
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not e2e and not train and not fault_long" tests

test: check
	AFS_TEST_STRICT=$(STRICT) $(if $(STRICT),AFS_TEST_DOWNLOADS=1) $(BIN)/python -m pytest -n 2 --dist loadfile -m "not fault_long" tests

parts: $(VENV)/.all
	$(BIN)/python scripts/test_parts.py

faults: $(VENV)/.all
	$(BIN)/python -m pytest -m fault_long tests

fix: $(VENV)/.all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python docs/reference.py

docs: $(VENV)/.all
	$(BIN)/python docs/reference.py
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site
