# `make help` lists the targets. The README has the same steps without make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# DVC runs the stages with the `python` that it finds first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
BASE ?= main
# In the environment, so that no shell reads a branch's name as a command.
export BASE
KILLS ?= 200
PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup check demo repro notebook pictures readme changes pr-report verify same-bytes \
	bench drill elsewhere simulate test test-fast lint format lock audit

help: ## Show this list
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Start here
setup: $(VENV)/.complete ## Install requirements.lock into .venv; 3 to 10 minutes, 6 GB on Linux

$(VENV)/.complete: requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("Python 3.11 to 3.13 is needed, this is %d.%d; name another one: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

check: setup ## Check params.yaml and every net; seconds, leaves nothing
	@$(BIN)/python -m scripts.check

demo: setup ## The whole pipeline on generated images, without a download: demo/; 1 to 2 minutes
	@$(BIN)/python -m scripts.demo

##@ The benchmark
repro: check ## Run what is not up to date: models/, metrics/, results/, plots/; 5 hours from nothing
	$(BIN)/dvc repro

notebook: check ## After repro: the notebook's table with its defects: docs/notebook.md; 2 hours
	$(BIN)/dvc repro notebook/dvc.yaml

pictures: check ## After repro: the report with images of CIFAR-10: pictures/; half a minute
	$(BIN)/python -m stages.convolve --photographs
	$(BIN)/python -m stages.report --photographs

readme: setup ## After repro: put the table of plots/results.md into the README
	@$(BIN)/python -m scripts.readme

##@ Compare with another commit (BASE=main)
changes: setup ## Which accuracies differ from those of BASE by more than noise; seconds
	@$(BIN)/python -m scripts.changes "$$BASE"

pr-report: setup ## What this branch changes, as Markdown for a pull request; seconds
	@$(BIN)/python -m scripts.pr_report "$$BASE"

verify: setup ## Are the committed results those of the committed code and params? Seconds
	@$(BIN)/python -m scripts.verify

same-bytes: setup ## Carry results of BASE over to code that computes the same bytes: dvc.lock; 20 minutes
	@$(BIN)/python -m scripts.same_bytes "$$BASE"

##@ Studies: each makes a page of docs/
bench: setup ## Training speed against the notebook's way: docs/speed.md; 15 minutes
	@$(BIN)/python -m studies.speed

drill: setup ## Kill a small pipeline KILLS=200 times: docs/drill.md; an hour
	@$(BIN)/python -m studies.kills --kills $(KILLS) --report docs/drill.md

elsewhere: setup ## How far results move on other hardware: docs/elsewhere.md; half an hour
	@$(BIN)/python -m studies.elsewhere

simulate: setup ## How well the intervals hold: docs/significance.md; half an hour
	@$(BIN)/python -m studies.significance

##@ Work on it
test: setup ## All tests, on all cores; 5 minutes on two
	@$(BIN)/python -m pytest $(PARALLEL)

test-fast: setup ## The tests that need neither DVC nor other processes; under a minute
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

lint: setup ## Check style, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup ## Put code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## Compile requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --group dev --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

audit: setup ## Look up known vulnerabilities of every locked package
	@$(BIN)/uv tool run pip-audit==2.10.1 --strict --requirement requirements.lock --require-hashes --disable-pip
