# Everything a developer or a CI machine runs. Each target sets up what it needs; a second run finds it ready.

SHELL := /bin/bash
.DEFAULT_GOAL := help

TF1 := .venvs/tf1
TF2 := .venvs/tf2
FIND_TF1 := tools/find_python PYTHON_TF1 3.7
FIND_TF2 := tools/find_python PYTHON_TF2 3.11 3.10 3.9
DEMO := examples/estimator_fm/main.py
SHORT_VOCABULARY_CASE := --case vocabulary --initial-accumulator 0.001 --rows 40000 --old-steps 500 --steps 200

# What is run must be what is installed, not what the caller's shell points at.
unexport PYTHONPATH PYTHONHOME
export TF_CPP_MIN_LOG_LEVEL ?= 2
export MPLBACKEND := Agg

.PHONY: help demo demo-tf1 test test-tf1 test-across lint check interpreters environment-tf1 environment-tf2 clean

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

test: lint ## lint, types, and all tests on TensorFlow 2.15 (Python 3.9 to 3.11)
	@$(TF2)/bin/python -I tools/run_tests.py $(ARGS)

test-tf1: environment-tf1 ## all tests on TensorFlow 1.15 (Python 3.7)
	@$(TF1)/bin/python -I tools/run_tests.py $(ARGS)

test-across: environment-tf1 environment-tf2 ## old models of each TensorFlow, recovered by the other
	@ESTIMATOR_WARMSTART_OTHER_PYTHON="$(CURDIR)/$(TF1)/bin/python" $(TF2)/bin/python -I tools/run_tests.py -k across_versions $(ARGS)
	@ESTIMATOR_WARMSTART_OTHER_PYTHON="$(CURDIR)/$(TF2)/bin/python" $(TF1)/bin/python -I tools/run_tests.py -k across_versions $(ARGS)

lint: environment-tf2 ## lint and types alone
	@$(TF2)/bin/python -I -m ruff check .
	@$(TF2)/bin/python -I -m mypy

check: ## everything, exactly as CI runs it
	@+.ci/run

interpreters: ## say which Pythons would be used
	@tf2=0; tf1=0; $(FIND_TF2) || tf2=1; $(FIND_TF1) || tf1=1; exit $$((tf2 || tf1))

environment-tf1:
	@python=$$($(FIND_TF1)) && "$$python" -I tools/set_up.py $(TF1) tools/tensorflow-1.txt

environment-tf2:
	@python=$$($(FIND_TF2)) && "$$python" -I tools/set_up.py $(TF2) tools/tensorflow-2.txt

clean: ## remove all that was made, the environments too
	@rm -rf .venvs build
	@find . -path ./.git -prune -o -type d \( -name __pycache__ -o -name .hypothesis -o -name '.*_cache' \) \
		-prune -exec rm -rf {} +
