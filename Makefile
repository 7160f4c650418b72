# Everything sets itself up: Python 3.11 to 3.13 and make are all that has to be there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test check hosts heavy benchmark lock clean

install: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	$(BIN)/sweep run experiments/quickstart.yaml

# In two processes, each with a Ray and a TensorFlow of its own: half of the time is waiting for processes to start.
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile
	KERAS_BACKEND=jax XLA_FLAGS=--xla_backend_optimization_level=0 $(BIN)/python -m pytest -n 2 --dist loadfile $(ON_BOTH)

# What is run on jax as well: a process keeps one backend. Without optimization XLA compiles in half the time.
ON_BOTH := tests/experiments/training/test_trainer.py tests/experiments/models tests/contract/test_every_optimizer.py \
  tests/contract/test_every_slot.py tests/contract/test_every_backend.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A cluster that grows, and one on three hosts that are made out of this machine and broken: Linux, root, 12 minutes.
hosts: install
	$(BIN)/python -m pytest -m hosts -rs tests/cluster

heavy: install
	$(BIN)/python -m pytest -m heavy

benchmark: install
	$(BIN)/python -m pytest -m benchmark -s

# Needs uv. The lock holds hashes for Linux, macOS and every Python that is supported, and names no index.
lock:
	uv pip compile pyproject.toml --extra dev --extra jax --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --quiet --output-file requirements.lock

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
