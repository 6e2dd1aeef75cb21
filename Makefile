# quickstart: set up and run the main job.  test: set up and run every test.  sglang-cpu: set up the SGLang that tests drive.
# test-sglang: only those tests.  lint, bench, docs, wheel, clean.  WORKERS=1 runs tests one by one.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check
SGLANG := .venv-sglang
# Most of what SGLang asks for serves GPUs and is stood in for: pip would warn of each.
SGLANG_INSTALL := $(SGLANG)/bin/pip --disable-pip-version-check install -q --no-warn-conflicts
DB     ?= results.db
# A file's tests stay with one worker, and so do the engine that they share and its processes.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: quickstart test test-sglang lint bench docs wheel sglang-cpu clean

quickstart: $(VENV)/.run
	$(BIN)/vortex run quickstart --db $(DB)
	$(BIN)/vortex frontier quickstart --db $(DB) --plot frontier.png

test: $(VENV)/.dev $(SGLANG)/.made
	$(PYTEST)

test-sglang: $(VENV)/.dev $(SGLANG)/.made
	$(PYTEST) tests/sglang

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

sglang-cpu: $(SGLANG)/.made

$(SGLANG)/.torch: tools/sglang_cpu/requirements.txt
	test -x $(SGLANG)/bin/python || $(PYTHON) -m venv $(SGLANG)
	$(SGLANG_INSTALL) -c $< torch $$($(PYTHON) tools/torch_index.py --cpu)
	touch $@

$(SGLANG)/.made: $(SGLANG)/.torch $(wildcard tools/sglang_cpu/*.* tools/sglang_cpu/*/*.py) pyproject.toml
	$(SGLANG_INSTALL) -r tools/sglang_cpu/requirements.txt -e .
	$(SGLANG_INSTALL) --no-deps -r tools/sglang_cpu/alone.txt
	$(SGLANG)/bin/python tools/sglang_cpu/install.py
	touch $@

clean:
	rm -rf $(VENV) $(SGLANG) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
