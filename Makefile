# quickstart: set up and run the main job.  test: set up and run every test.  lint, bench, docs, clean.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check
DB     ?= results.db
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: quickstart test lint bench docs wheel clean

quickstart: $(VENV)/.run
	$(BIN)/vortex run quickstart --db $(DB)
	$(BIN)/vortex frontier quickstart --db $(DB) --plot frontier.png

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/static_check.py

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel

$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vortex needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch $$($(PYTHON) tools/torch_index.py)
	touch $@

$(VENV)/.run: $(VENV)/.torch pyproject.toml
	$(PIP) install -q -c constraints.txt -e '.[eval]'
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
