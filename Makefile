# Two commands need nothing but Python 3.11, make and pip: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
# Tests that try what comes to mind: a quarter of it in `make test`, all of it in `make faults` (tests/depth.py).
DEEP = $(shell grep -rl "tests.depth import" tests --include="test_*.py")

.PHONY: help setup demo up studio examples test tools kits lint check openapi clients reference docs hooks audit-deps faults beside sweep hosts year mutants bench bench-growth clean

help: ## list what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# The stamp is written last: an install that was cut off is done again, from the start, by the next run.
$(RUN): requirements.txt requirements-local.txt pyproject.toml deploy/bootstrap_venv.py
	@echo "setting up $(VENV) (first time: about a minute)"
	@$(PYTHON) deploy/bootstrap_venv.py $(VENV) requirements-local.txt
	@touch $@

$(DEV): requirements.txt requirements-local.txt requirements-dev.txt pyproject.toml deploy/bootstrap_venv.py
	@echo "setting up $(VENV) for development (first time: about a minute)"
	@$(PYTHON) deploy/bootstrap_venv.py $(VENV) requirements-dev.txt
	@touch $@ $(RUN)

setup: $(DEV) ## install everything, tests and linters included

demo: $(RUN) ## see it work: order, pay, generate, fetch, prove the books
	@$(BIN)/headrace demo

up: $(RUN) ## run everything here until Ctrl-C, on http://127.0.0.1:8000
	@$(BIN)/headrace up

studio: $(RUN) ## a small web product to look at, with all that it needs, on http://127.0.0.1:8000/studio/ (needs npm)
	@bash deploy/build_studio.sh
	@$(BIN)/python -m examples.studio

examples: $(RUN) ## what four products do, against a system that is started for it; every answer is checked
	@$(BIN)/python -m examples --start

# In the order of tests/conftest.py: by default the files with few tests come last, and those are the long ones. Five on two
# cores, because many tests wait. Thousands of processes import the same: it is compiled once, whatever the shell says.
# Without those of tests/long.txt it takes ten minutes; `make faults` begins with them.
TESTS = env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest tests --ignore=tests/faults -q -p tests.lengths -p tests.progress -n 5 --dist loadfile --no-loadscope-reorder
test: $(DEV) ## the tests that are short, on real servers: ten minutes
	@$(TESTS) --short

tools: ## Chromium, nginx, Caddy, PgBouncer, RabbitMQ, PostgreSQL and Redis with TLS, axe-core: tests that need one are left out without it (needs root)
	@bash deploy/install_tools.sh

# Libraries in older versions, and frameworks over them: 700 MB that only tests/sdks/test_older.py and test_frameworks.py want.
kits: $(DEV) ## what other people build with: LiteLLM, LangChain, LlamaIndex, older SDKs; tests are left out without them
	@for kit in older frameworks; do \
	  place=.headrace/tools/kits/$$kit; \
	  cmp -s tests/sdks/kits/$$kit.txt $$place/installed.txt && continue; \
	  $(BIN)/python -m venv --clear $$place; \
	  $$place/bin/python -m pip install --quiet --no-deps --requirement tests/sdks/kits/$$kit.txt; \
	  cp tests/sdks/kits/$$kit.txt $$place/installed.txt; \
	done

lint: $(DEV) ## lint, format, types, layers: the first part of check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

check: lint ## lint, the committed OpenAPI document and reference, migrations up, down, up, and the clients
	@$(BIN)/python -m cli.openapi
	@$(BIN)/python -m cli.reference
	@$(BIN)/python -m cli.check_migrations
	@cd clients/python && $(CURDIR)/$(BIN)/python -m making --check
	@if command -v npm > /dev/null; then bash deploy/build_clients.sh; else echo "no npm here: clients/js is not checked"; fi

openapi: $(DEV) ## write docs/openapi.json
	@$(BIN)/python -m cli.openapi --write

clients: $(DEV) ## make the clients from docs/openapi.json: Python's methods and models, the npm packages with their types and sizes
	@cd clients/python && $(CURDIR)/$(BIN)/python -m making
	@bash deploy/build_clients.sh

reference: $(DEV) ## write docs/reference/: settings, errors, events, commands, calls
	@$(BIN)/python -m cli.reference --write

docs: $(DEV) ## the documents as a site, in site/; a link that leads nowhere fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "site/index.html"

hooks: ## let git run `make lint` before each commit of this clone
	@git config core.hooksPath deploy/hooks

audit-deps: $(DEV) ## known vulnerabilities of what production imports (asks PyPI)
	@$(BIN)/pip-audit --requirement requirements.txt --no-deps --disable-pip

# First the tests that are long, but those that run in full depth or wait for programs and browsers of others. These run beside the
# faults, which wait for two fifths of their time, and behind them (`nice`). Faults two on two cores: on a slow machine what three at
# once wait for comes late.
BESIDE := tests/clients tests/clients_js tests/sdks tests/studio
BESIDE_LOG := .headrace/beside.log
NICE := env -u PYTHONDONTWRITEBYTECODE nice -n 10 $(BIN)/python -m pytest -q -n 2
beside: $(DEV)
	@HEADRACE_DEEP=1 $(NICE) $(DEEP)
	@$(NICE) --dist loadfile -p tests.lengths --long $(BESIDE)

faults: $(DEV) ## the tests that are long, and the fault runs: kill, flush, cut off; then prove the books
	@$(TESTS) --long $(addprefix --ignore=,$(DEEP) $(BESIDE))
	@mkdir -p $(dir $(BESIDE_LOG)); \
	$(MAKE) --no-print-directory beside > $(BESIDE_LOG) 2>&1 & beside=$$!; \
	trap "kill $$beside 2> /dev/null || true" EXIT; failed=0; \
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest tests/faults -q -n 2 --dist loadfile || failed=1; \
	wait $$beside || failed=1; cat $(BESIDE_LOG); exit $$failed

hosts: $(DEV) ## several hosts in network namespaces: killed, cut off, slow, under load; then the books (needs root)
	@$(BIN)/python -m tests.hosts

year: $(DEV) ## a year of selling in fast motion: 1,000 people, lost hooks, killed schedulers; then the books
	@$(BIN)/python -m tests.year

mutants: $(DEV) ## plant known bugs, one at a time, and see each turn its tests red
	@$(BIN)/python -m tests.mutants

sweep: $(DEV) ## every single fault of each kind of job, and all invariants after each
	@$(BIN)/python -m tests.sweep
	@$(BIN)/python -m pytest tests/sweep/every_money.py -q -s -n 2 --dist load

bench: $(DEV) ## measure, compare with floors and peers, write benchmarks/results/
	@$(BIN)/python -m benchmarks

bench-growth: $(DEV) ## the same with 5 million jobs stored as with ten thousand; most of an hour
	@$(BIN)/python -m benchmarks growth-5m

clean: ## remove the environment and all local data
	rm -rf $(VENV) .headrace demo-results site
