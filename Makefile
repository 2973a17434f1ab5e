# Two commands for a new user: `make demo` and `make test`. Everything happens in .venv.
PYTHON ?= python3
VENV   ?= .venv
# Test processes; each computes in one thread, since two that fight for a core are slower than one.
JOBS   ?= 2
BIN    := $(VENV)/bin
DEMO_MODELS := nmf,lassnet-small,unet-tag-small,audiosep-small,stsed-small
# Twice quiet: errors only; the build backend's notes on editable installs are no news to a user.
PIP    := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: demo test test-all lint types check clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed
	$(BIN)/bench run -m $(DEMO_MODELS) query=each 'query.shots=[1,3]' --keep-audio
	@echo "The page, to look at and to listen to (bench report --open shows it):"
	@$(BIN)/bench report --format html

# Tests start thousands of processes: with bytecode kept, as usual, none of them compiles anew.
test: MARKS := -m "not slow"
test test-all: $(VENV)/.installed-test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= \
		$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(MARKS) $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The folders are packages under another name; links let the type checker see them as such.
types: $(VENV)/.installed-dev
	mkdir -p .typing/sepbench
	for d in harness baselines datasets reports; do ln -sfn ../../$$d .typing/sepbench/$$d; done
	$(BIN)/mypy

check: lint types test-all

$(BIN)/python:
	@echo "Installing into $(VENV): about 5 GB, a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.installed-test

clean:
	rm -rf $(VENV) .typing build *.egg-info
