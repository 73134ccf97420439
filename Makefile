# make run: the server on its embedded default. make test: the whole suite. Both do all of their own set-up.
PYTHON ?= python3
ROUNDS ?= 100
BUDGET_S ?= 600
MINUTES ?= 10
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test test-pure test-sanitized check format bench torture explore stress mutants redis-fuzz redis-mutants redis-tcl clean

run: $(READY)
	$(BIN)/mvcc-kv serve

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# the same without what is in C, and, of the rooms that have some, with sanitizers
test-pure: $(READY)
	MVCC_KV_PURE=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-sanitized: $(READY)
	$(BIN)/python -m tests.sanitized

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# make bench ARGS="--quick --only commands,memory --python /usr/bin/python3"; it makes an environment of its own
bench:
	$(PYTHON) -m benches $(ARGS)

torture: $(READY)
	$(BIN)/python -m tests.torture --rounds $(ROUNDS)

explore: $(READY)
	$(BIN)/python -m tests.explorer --budget-s $(BUDGET_S)

stress: $(READY)
	$(BIN)/python -m tests.stress --minutes $(MINUTES)

mutants: $(READY)
	$(BIN)/python -m tests.mutants

redis-fuzz: $(READY)
	$(BIN)/python -m tests.redis.differential --budget-s $(BUDGET_S)

redis-mutants: $(READY)
	$(BIN)/python -m tests.redis.differential.hunt

redis-tcl: $(READY)
	$(BIN)/python -m tests.redis.tcl

$(READY): pyproject.toml hatch_build.py $(shell find mvcc_kv -name '_*.c' -o -name '*.h')
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "mvcc-kv needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
