# Two commands: `make demo` and `make test`. Each sets up what it needs in .venv, once, and then does its work.
# More words for pytest: `make test ARGS="-k darts"`.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
WORKERS ?= 2
ARGS ?=
# The tensors of the tests are tiny: a second thread would only wait for the first. Which tests stay together, and in
# which order they start, says tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

.PHONY: demo test test-fast test-long lint format clean

# The demo's networks are tiny: a second thread would only wait for the first.
demo: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/lightning-nas run --config configs/quickstart.yaml

test: lint
	$(PYTEST) -m "not long" $(ARGS)

test-fast: $(INSTALLED)
	$(PYTEST) -m "not slow and not ddp and not long" $(ARGS)

test-long: $(INSTALLED)
	$(PYTEST) -m long $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The install is repeated only after a change of these two files. pip keeps what it downloads in its own cache, so a new
# .venv downloads little; a part that is installed already is left as it is.
$(INSTALLED): setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable '.[demo,test,dev]'
	touch $@

# Keeps .venv and runs; `rm -rf .venv` starts from nothing.
clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
