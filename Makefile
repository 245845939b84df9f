# make demo, make test, ...: `make help` lists them. Use an environment of your own with VENV=path.
VENV ?= .venv
PYTHON ?= python3
JOBS ?= 2

BIN := $(VENV)/bin
DONE := $(VENV)/.setup-done

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format docs bench lock clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(DONE)  ## Make .venv and install the locked requirements and the package; skipped when up to date.

# An environment of the user's own has no such file: the script then looks in every time, and leaves it alone.
$(DONE): pyproject.toml requirements.lock
	@tools/setup.sh "$(VENV)" "$(PYTHON)"

demo: setup  ## Run the whole job on embedded photographs of faces; prints where the report is.
	@"$(BIN)/verovolto" demo

test: setup  ## Run the tests.
	@OMP_NUM_THREADS=1 "$(BIN)/python" -m pytest -n $(JOBS) --dist loadgroup

lint: setup  ## Check style and types.
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"

format: setup  ## Mend what ruff can mend.
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

docs: setup  ## Build the documents as a site: build/docs/index.html.
	@tools/docs.sh "$(VENV)"

bench: setup  ## Measure speed and memory of training and scoring; all models: make bench FULL=1.
	@"$(BIN)/python" benchmarks/bench.py $(if $(FULL),--full)

lock: setup  ## Write requirements.lock out of the environment's versions.
	"$(BIN)/python" tools/lock.py requirements.lock

clean:  ## Delete caches and what demo, bench and .ci/run made; .venv and runs/ stay.
	rm -rf demo benchmarks/out build dist .venv-ci .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
