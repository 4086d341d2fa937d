# Every target works on a bare clone, without another one before it. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The interpreter of the stages, used in dvc.yaml: an experiment in a temporary folder has no .venv there.
export MAKEWEIGHT_PYTHON ?= $(abspath $(BIN)/python)

.DEFAULT_GOAL := help
.PHONY: help repro test lint format types clean docs lock .git-init
# Scripts of an environment name the folder where it was made: a moved one fails, a copied one runs the original's code.
ifeq ($(shell grep -sF '$(CURDIR)/$(BIN)/' $(BIN)/makeweight),)
.PHONY: $(READY)
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

repro: .git-init $(READY) ## run the whole pipeline and show the comparison
	@$(BIN)/makeweight check
	@$(BIN)/dvc repro
	@$(BIN)/makeweight compare

test: .git-init $(READY) ## run every check: format, lint, types and tests
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .
	@$(BIN)/mypy
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(READY) ## run the linter and check the import contract
	@$(BIN)/ruff check . && $(BIN)/lint-imports

format: $(READY) ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

types: $(READY) ## check types
	@$(BIN)/mypy

clean: ## remove the environment, caches and all outputs except results/metrics.json
	rm -rf $(VENV) .makeweight .dvc/cache .dvc/tmp data models runs logs pipeline/*.egg-info .mypy_cache .pytest_cache .ruff_cache
	find results -mindepth 1 ! -name metrics.json -delete

docs: $(READY) ## rewrite docs/parameters.md
	@$(BIN)/python docs/make_parameters.py

lock: $(READY) ## rewrite requirements.lock
	@$(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile -q --universal --no-emit-index-url --no-header --no-annotate --extra dev --python-version 3.11 pyproject.toml -o requirements.lock

.git-init:
	@[ -e .git ] || { echo "this folder is no Git repository, which DVC needs: run git init, then make again"; exit 2; }

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 2; }
	@echo "creating $(VENV) (takes a few minutes the first time)"
	@grep -sqF '$(CURDIR)/$(BIN)/' $(BIN)/makeweight || rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
	@rm -rf makeweight.egg-info  # left by a version before 0.2: its entry points would be found first
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@
