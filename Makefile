# Everything a developer or a CI machine runs. Each target sets up what it needs; a second run finds it ready.

SHELL := /bin/bash
.DEFAULT_GOAL := help

TF1 := .venvs/tf1
TF2 := .venvs/tf2
LINT := .venvs/lint
DOCS := .venvs/docs
RUN_TESTS := -I tools/run_tests.py
# Each worker has a run of tests that stand together, and so share fixtures.
PARALLEL := --numprocesses=2 --dist=worksteal
QUICK := $(PARALLEL) -m "not slow and (not distributed or smoke)"
THOROUGH := $(PARALLEL) --hypothesis-profile=thorough
COVERAGE := --cov --cov-config="$(CURDIR)/pyproject.toml"
TENSORFLOW := 2.4 2.11 2.21
SELECT := -m "not slow and not distributed" -k "not example_fm or off_estimator"
DEMO := examples/estimator_fm/main.py
SHORT_VOCABULARY_CASE := --case vocabulary --initial-accumulator 0.001 --rows 40000 --old-steps 500 --steps 200

# What is run must be what is installed, not what the caller's shell points at.
unexport PYTHONPATH PYTHONHOME
export TF_CPP_MIN_LOG_LEVEL ?= 2
export MPLBACKEND := Agg

ENVIRONMENTS := environment-tf1 environment-tf2 environment-lint environment-docs

.PHONY: help demo demo-tf1 pictures test test-all test-tf1 test-all-tf1 test-across test-matrix coverage coverage-tf1 lint format docs check clean $(ENVIRONMENTS)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile
	@echo 'PYTHON_TF2, PYTHON_TF1: the Python to use. ARGS: options for pytest, e.g. make test ARGS="-k hooks -x".'

# The example begins with an untrained model, and so refuses a directory that holds one.
demo: environment-tf2 ## run the factorization machine example, cold and warm
	@rm -rf build/demo-tf2 build/demo-tf2-vocabulary
	@$(TF2)/bin/python $(DEMO) --output-dir build/demo-tf2
	@$(TF2)/bin/python $(DEMO) $(SHORT_VOCABULARY_CASE) --output-dir build/demo-tf2-vocabulary

demo-tf1: environment-tf1 ## the same on TensorFlow 1.15
	@rm -rf build/demo-tf1 build/demo-tf1-vocabulary
	@$(TF1)/bin/python $(DEMO) --output-dir build/demo-tf1
	@$(TF1)/bin/python $(DEMO) $(SHORT_VOCABULARY_CASE) --output-dir build/demo-tf1-vocabulary

pictures: environment-tf2 ## make the pictures of the documentation from runs of the example and of the docs
	@$(TF2)/bin/python tools/make_pictures.py

test: lint environment-tf2 ## lint, types, and the quick tests on TensorFlow 2.15 (Python 3.9 to 3.11)
	@$(TF2)/bin/python $(RUN_TESTS) $(QUICK) $(ARGS)

test-all: lint environment-tf2 ## lint, types, and all tests on TensorFlow 2.15, property tests with their large budget
	@$(TF2)/bin/python $(RUN_TESTS) $(THOROUGH) $(ARGS)

test-tf1: environment-tf1 ## the quick tests on TensorFlow 1.15 (Python 3.7)
	@$(TF1)/bin/python $(RUN_TESTS) $(QUICK) $(ARGS)

test-all-tf1: environment-tf1 ## all tests on TensorFlow 1.15, property tests with their large budget
	@$(TF1)/bin/python $(RUN_TESTS) $(THOROUGH) $(ARGS)

test-across: environment-tf1 environment-tf2 ## old models of each TensorFlow, recovered by the other
	@ESTIMATOR_WARMSTART_OTHER_PYTHON="$(CURDIR)/$(TF1)/bin/python" $(TF2)/bin/python $(RUN_TESTS) -k across_versions $(ARGS)
	@ESTIMATOR_WARMSTART_OTHER_PYTHON="$(CURDIR)/$(TF2)/bin/python" $(TF1)/bin/python $(RUN_TESTS) -k across_versions $(ARGS)

# test-tf2-4 and so on. Patterns are not phony: no file has such a name.
test-matrix: $(addprefix test-tf,$(subst .,-,$(TENSORFLOW))) ## quick tests on TENSORFLOW="2.4 2.11 2.21", whichever are named; SELECT= for all tests

test-tf2-%:
	@python3 -I tools/set_up.py tf2-$*
	@.venvs/tf2-$*/bin/python $(RUN_TESTS) $(PARALLEL) $(SELECT) $(ARGS)

coverage: environment-tf2 ## test-all without lint, and the share of the package's lines that it runs
	@COVERAGE_FILE="$(CURDIR)/build/coverage/tf2" $(TF2)/bin/python $(RUN_TESTS) $(THOROUGH) $(COVERAGE) $(ARGS)

coverage-tf1: environment-tf1 ## the same on TensorFlow 1.15
	@COVERAGE_FILE="$(CURDIR)/build/coverage/tf1" $(TF1)/bin/python $(RUN_TESTS) $(THOROUGH) $(COVERAGE) $(ARGS)

lint: environment-lint ## lint, format and types alone
	@$(LINT)/bin/ruff check .
	@$(LINT)/bin/ruff format --check .
	@$(LINT)/bin/python -I -m mypy

format: environment-lint ## format the code, imports in order
	@$(LINT)/bin/ruff check --quiet --fix --select I .
	@$(LINT)/bin/ruff format .

docs: environment-docs ## the pages of docs/ and the API as HTML, in build/docs
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -I -m mkdocs build

check: ## everything, exactly as CI runs it
	@+.ci/run

$(ENVIRONMENTS): environment-%:
	@python3 -I tools/set_up.py $*

clean: ## remove all that was made, the environments too
	@rm -rf .venvs build
	@find . -path ./.git -prune -o -type d \( -name __pycache__ -o -name .hypothesis -o -name '.*_cache' \) \
		-prune -exec rm -rf {} +
