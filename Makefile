# make run        install, then run all pipelines on synthetic images
# make test       install, then run all checks
# make test-fast  install, then run the tests without the markers slow, distributed and browser
# make test-docs  install, then check the documentation: links, parameters and prose
# make hooks      install, then run the hooks of pre-commit on all files
# make viz        show the pipelines as a graph in the browser; make viz ENV=folder for an environment
# make soak       run the long tests: many kills, long fuzzing, a large network (about 13 minutes)
# make coverage   simulate how often the confidence intervals contain the true value (about 15 minutes)
# make mutation   run the tests with deliberate faults in the code, save the kill rate (about 30 minutes)
# make bench      measure the speed, print it and save it in benchmarks/results/
# make clean      delete data, caches and .venv
# make lock       update requirements.lock (requires uv)

PYTHON ?= python3
# Processes of make test. Each requires about 3 GB of memory, and computes with one thread:
# the threads of two processes would wait for each other.
WORKERS ?= 2
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
export DO_NOT_TRACK := 1
# A variable ENV of the shell is ignored: it names a file that the shell reads.
ifeq ($(origin ENV),command line)
VIZ_ENV := --env $(ENV)
endif

.DEFAULT_GOAL := run
.PHONY: run test test-fast test-docs hooks soak coverage mutation bench viz clean lock

run: $(VENV)/.installed
	$(BIN)/kedro run

viz: $(VENV)/.installed
	$(BIN)/kedro viz run $(VIZ_ENV)

test: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports
	COVERAGE_PROCESS_START="$(CURDIR)/pyproject.toml" COVERAGE_FILE="$(CURDIR)/.coverage" \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-fail-under=90

test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow and not distributed and not browser"

test-docs: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/test_documentation.py tests/test_prose.py

hooks: $(VENV)/.installed-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" pre-commit run --all-files --show-diff-on-failure

SOAK_TESTS := -q -rp --show-capture=no -k 'many_kills or fuzz or vit_b_16' tests/test_kills.py tests/data/test_decoder_fuzz.py \
  tests/deployment/test_onnx_export.py
soak: $(VENV)/.installed-dev
	@echo "SOAK_KILLS=20 SOAK_SECONDS=300 pytest $(SOAK_TESTS)" > docs/results/soak.txt
	SOAK_KILLS=20 SOAK_SECONDS=300 $(BIN)/python -m pytest $(SOAK_TESTS) >> docs/results/soak.txt; \
	  status=$$?; cat docs/results/soak.txt; exit $$status

coverage: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/interval_coverage.py
	$(BIN)/python benchmarks/paired_coverage.py

mutation: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/mutation.py

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/epoch.py
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/demo.py
	$(BIN)/python benchmarks/leak.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage* .viz
	find data -mindepth 1 ! -name README.md -delete
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	rm -rf src/*.egg-info

# Pin the tested versions for all platforms. Requires uv. requirements.lock contains no URLs.
lock:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --extra dev pyproject.toml -o requirements.lock

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python is too old ($(PYTHON)). Expected Python 3.11 or newer. Fix: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@df -Pk . | awk 'NR == 2 && $$4 < 8000000 { \
	  printf "Low disk space (%.1f GB free). The installation with CUDA needs about 8 GB. The README describes a small CPU build.\n", $$4 / 1e6 }'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml requirements.lock
	@echo "Installing the packages. PyTorch is large, so this takes a few minutes."
	$(PIP) install --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --constraint requirements.lock --editable '.[dev]'
	@touch $@
