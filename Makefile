# `make help` lists the targets. The README has the same steps without make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# DVC runs the stages with the `python` that it finds first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup check repro notebook demo bench test lint format readme lock drill audit changes same-bytes simulate elsewhere pictures verify pr-report

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.complete ## Make .venv and install what requirements.lock pins

$(VENV)/.complete: requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("Python 3.11 to 3.13 is needed, this is %d.%d; name another one: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

check: setup ## Check params.yaml and every architecture, in seconds
	@$(BIN)/python -m scripts.check

repro: check ## Run the benchmark: whatever is not up to date
	$(BIN)/dvc repro

demo: setup ## Run the whole pipeline on drawn images, with no data host; results in demo/
	@$(BIN)/python -m scripts.demo

notebook: check ## After repro: train the notebook's table, defects and all; docs/notebook.md
	$(BIN)/dvc repro notebook/dvc.yaml

BASE ?= main
# In the environment, so that no shell reads a branch's name as a command.
export BASE
changes: setup ## Say which accuracies differ from those of BASE by more than noise
	@$(BIN)/python -m scripts.changes "$$BASE"

same-bytes: setup ## Carry results of BASE over to code that computes the same bytes
	@$(BIN)/python -m scripts.same_bytes "$$BASE"

pr-report: setup ## Say what this branch changes against BASE, as Markdown
	@$(BIN)/python -m scripts.pr_report "$$BASE"

verify: setup ## Check that the committed results are those of the committed code and params
	@$(BIN)/python -m scripts.verify

pictures: check ## After repro: pictures and report with photographs, in pictures/
	$(BIN)/python -m stages.convolve --photographs
	$(BIN)/python -m stages.report --photographs

simulate: setup ## Simulate how well the intervals hold; table in docs/significance.md
	@$(BIN)/python -m scripts.simulate

elsewhere: setup ## Measure how far results move where the bytes are not promised
	@$(BIN)/python -m scripts.elsewhere

bench: setup ## Time the training against the notebook's way; table and pictures in docs/
	@$(BIN)/python -m scripts.bench

KILLS ?= 200
drill: setup ## Kill a small pipeline KILLS times at random moments; report in docs/
	@$(BIN)/python -m scripts.drill --kills $(KILLS) --report docs/drill.md

audit: setup ## Look every locked package up for known holes
	@$(BIN)/uv tool run pip-audit==2.10.1 --strict --requirement requirements.lock --require-hashes --disable-pip

test: setup ## Run the tests
	@$(BIN)/python -m pytest

lint: setup ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## Put code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

readme: setup ## Put the table of plots/results.md into the README
	@$(BIN)/python -m scripts.readme

lock: setup ## Compile requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --group dev --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
