# make run    set up, then the whole way on generated images
# make test   set up, then every check
# make viz    the pipelines as a graph, in a browser
# make soak   the long checks: many kills, long fuzzing (about 20 minutes)
# make bench  how fast it is; prints and keeps benchmarks/results/
# make clean  remove what the others made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := run
.PHONY: run test soak bench viz clean lock

run: $(VENV)/.installed
	$(BIN)/kedro run

viz: $(VENV)/.installed
	$(BIN)/kedro viz run

test: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	COVERAGE_PROCESS_START=pyproject.toml $(BIN)/python -m pytest --cov --cov-report=term --cov-fail-under=90

soak: $(VENV)/.installed-dev
	@echo "SOAK_KILLS=20 SOAK_SECONDS=300 pytest -q -rp --show-capture=no -k 'many_kills or fuzz'" > docs/results/soak.txt
	SOAK_KILLS=20 SOAK_SECONDS=300 $(BIN)/python -m pytest -q -rp --show-capture=no -k "many_kills or fuzz" >> docs/results/soak.txt; \
	  status=$$?; cat docs/results/soak.txt; exit $$status

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/epoch.py
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/demo.py
	$(BIN)/python benchmarks/leak.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage* .viz
	find data -mindepth 1 ! -name README.md -delete
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	rm -rf src/*.egg-info

# The versions that were tested, for every platform; needs uv. No URL stands in it.
lock:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --extra dev pyproject.toml -o requirements.lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@df -Pk . | awk 'NR == 2 && $$4 < 8000000 { \
	  printf "Only %.1f GB are free here. PyTorch with CUDA and all else need about 8 GB (see the README for a small CPU build).\n", $$4 / 1e6 }'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements.lock
	@echo "Installing (PyTorch is large; this takes a few minutes) ..."
	$(PIP) install --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --constraint requirements.lock --editable '.[dev]'
	@touch $@
