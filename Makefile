# `make help` lists the targets. docs/running.md has the same commands without make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# DVC runs the stages with the first `python` in PATH.
export PATH := $(CURDIR)/$(BIN):$(PATH)
BASE ?= main
# Passed in the environment, and as they are, so that neither make nor a shell runs a name.
$(foreach name,BASE NET A B DIFF ROW IMAGE SHEET,$(eval override export $(name) := $$(value $(name))))
KILLS ?= 200
PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup check demo repro quick notebook pictures readme changes pr-report merge-results verify same-bytes \
	try judge plan predict bench kill-test portability simulate same-net tune recipes depth ladder ten-classes test test-fast lint format lock audit

help: ## Show this list
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Start here
setup: $(VENV)/.complete ## Install requirements.lock into .venv; 3 to 10 minutes, 6 GB on Linux

$(VENV)/.complete: requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("error: this project requires Python 3.11 to 3.13, but $(PYTHON) is %d.%d; name another one: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	touch $@

check: setup ## Check params.yaml and every net; seconds, writes nothing
	@$(BIN)/python -m scripts.check

demo: setup ## Try the whole pipeline on generated images, in demo/; 1 to 2 minutes
	@$(BIN)/python -m scripts.demo

##@ The benchmark
repro: setup ## Run everything that is not up to date; 6 hours or more from scratch on two cores
	@$(BIN)/python -m scripts.repro

quick: setup ## Train the nets with the annealed recipe only, and redraw everything; over an hour
	@$(BIN)/python -m scripts.repro --recipe annealed

notebook: check ## Reproduce the notebook's defects: docs/notebook.md (needs repro); 2 hours
	$(BIN)/dvc repro notebook/dvc.yaml

pictures: check ## Write a report with CIFAR-10 images to pictures/ (needs repro); half a minute
	$(BIN)/python -m stages.convolve --real-images
	$(BIN)/python -m stages.report --real-images

readme: setup ## Copy the table of results into the README
	@$(BIN)/python -m scripts.readme

##@ Is my net better?
try: setup ## Train one net, and compare it with all others: make try NET=mine; minutes
	@$(BIN)/python -m scripts.try_net "$$NET"

judge: setup ## Compare two files of predictions: make judge A=theirs.csv B=ours.csv; seconds
	@$(BIN)/python -m scripts.judge "$$A" "$$B"

plan: setup ## How many seeds show a difference? make plan DIFF=0.5 ROW=res; seconds
	@$(BIN)/python -m scripts.plan "$$DIFF" $${ROW:+--row "$$ROW"}

##@ Use the models
predict: setup ## Airplane or bird? make predict IMAGE=photo.jpg (or a folder); seconds
	@$(BIN)/python -m scripts.predict $${ROW:+--row="$$ROW"} $${SHEET:+--sheet="$$SHEET"} $${JSON:+--json} -- "$$IMAGE"

##@ Compare with another commit (BASE=main)
changes: setup ## Test which accuracies really changed since BASE; seconds
	@$(BIN)/python -m scripts.changes "$$BASE"

pr-report: setup ## Report what this branch changes, as Markdown for a pull request; seconds
	@$(BIN)/python -m scripts.pr_report "$$BASE"

merge-results: setup ## Finish a git merge that has conflicts in results; a minute, trains nothing
	@$(BIN)/python -m scripts.merge_results

verify: setup ## Check that the results match code, params and data; seconds
	@$(BIN)/python -m scripts.verify

same-bytes: setup ## Keep the results of BASE if the new code computes the same bytes; 20 minutes
	@$(BIN)/python -m scripts.same_bytes "$$BASE"

##@ Studies: each writes a page in docs/
bench: setup ## Measure the training speed: docs/speed.md; 15 minutes
	@$(BIN)/python -m studies.speed

kill-test: setup ## Kill a small pipeline KILLS=200 times: docs/kill_test.md; an hour
	@$(BIN)/python -m studies.kills --kills $(KILLS) --report docs/kill_test.md

portability: setup ## Measure how much results differ on other hardware: docs/portability.md; half an hour
	@$(BIN)/python -m studies.portability

simulate: setup ## Measure the error rates of the tests: docs/significance.md; 20 minutes
	@$(BIN)/python -m studies.significance

tune: setup ## Choose recipes on held-out images: docs/tuning.md; 3 hours
	@$(BIN)/python -m studies.tuning

same-net: setup ## Train one net 240 times, and compare it with itself: docs/same_net.md; over an hour
	@$(BIN)/python -m studies.same_net

recipes: setup ## Compare both recipes on the official test images: docs/recipes.md; over an hour
	@$(BIN)/python -m studies.recipes

depth: setup ## Compare 1 to 100 residual blocks: docs/depth.md; 9 hours on two cores, estimated from single runs
	@$(BIN)/python -m studies.depth

ladder: setup ## Show what each step from the baseline to modern is worth: docs/ladder.md (needs repro); seconds
	@$(BIN)/python -m studies.ladder

ten-classes: setup ## Train the annealed nets and modern on all ten classes: docs/ten_classes.md; 2 hours on two cores with AVX512_BF16
	@$(BIN)/python -m studies.ten_classes

##@ Development
test: setup ## Run all tests on all cores; 5 to 20 minutes on two
	@$(BIN)/python -m pytest $(PARALLEL)

test-fast: setup ## Run the tests that need neither DVC nor other processes; about a minute
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

lint: setup ## Check style, formatting, types, import directions, spelling and links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	git ls-files -z '*.py' '*.md' '*.jinja' '*.html' '*.yaml' '*.yml' '*.toml' '*.cff' Makefile | xargs -0 $(BIN)/codespell
	git ls-files -z '*.md' | xargs -0 $(BIN)/mdlinkcheck

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## Compile requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --group dev --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

audit: setup ## Look up known vulnerabilities of all locked packages
	@$(BIN)/uv tool run pip-audit==2.10.1 --strict --requirement requirements.lock --require-hashes --disable-pip
