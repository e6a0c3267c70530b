# The one list of commands. `make` prints it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
SETUP := $(PYTHON) -m infra.bootstrap
# Most tests wait more than they work: three at a time keep two cores busy. Each process has one broker for its tests.
# The longest files come first by name, so their order is kept.
THREE_AT_ONCE := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo up down status logs notebook test test-fast test-long accuracy alerts fuzz chaos mutate bench check format contracts lock clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything that running needs (again: under a second)
	@$(SETUP)

demo: setup ## set up, start everything, send events and show what comes of them
	@$(BIN)/playlake demo

up: setup ## start everything and stay until Ctrl-C
	@$(BIN)/playlake up

down: ## stop everything
	@$(BIN)/playlake down

status: ## what runs, since when, where
	@$(BIN)/playlake status

logs: ## the last lines of every part
	@$(BIN)/playlake logs

notebook: ## open the notebook of three questions, over the SQL service of this machine
	@$(SETUP) --dev
	@$(BIN)/marimo edit --host 127.0.0.1 docs/notebooks/questions.py

check: ## lint, types, import rules (under a minute)
	@$(SETUP) --dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

test: check ## check, then every test but the long ones: real Kafka, Spark, Airflow, browser (15 to 20 minutes)
	@$(BIN)/pytest $(THREE_AT_ONCE) -m "not e2e and not chaos and not long"
	@$(BIN)/pytest -m "e2e and not chaos and not long"

test-long: ## the tests that take minutes each: the whole platform under its supervisor, a backfill
	@$(SETUP) --dev
	@$(BIN)/pytest -m long

test-fast: ## the tests that need no broker, Spark, Airflow or browser (seconds)
	@$(SETUP) --dev
	@$(BIN)/pytest -m "not (kafka or spark or airflow or browser or e2e or setup or chaos or long)"

accuracy: ## simulate, and write the error of every metric against the truth into docs/simulator.md (a minute)
	@$(SETUP)
	@$(BIN)/python -m streams.intake.accuracy.report

alerts: ## simulate incidents and quiet hours, and write how well they are found into docs/alerts.md (a quarter of an hour)
	@$(SETUP)
	@$(BIN)/python -m streams.alerts.evaluation.report

fuzz: ## random requests to the collector for ten minutes
	@$(SETUP) --dev
	@$(BIN)/pytest -s -m long tests/streams/intake/test_fuzz.py

chaos: ## an hour of faults from a printed seed, and their verdicts (SEED=1 MINUTES=60 ONLY=frozen)
	@$(SETUP) --dev
	@$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED)) --only "$(ONLY)"; \
	soak=$$?; $(if $(ONLY),,$(BIN)/pytest -m chaos || soak=1;) exit $$soak

mutate: ## take out one safeguard after the other: the fault suite must see each (about ten minutes)
	@$(SETUP) --dev
	@$(BIN)/python -m tests.chaos.mutants --only "$(ONLY)"

bench: ## measure stream, sink, batch, latency and recovery beside the peers (an hour and a quarter; ONLY=fold for one part)
	@$(SETUP) --bench
	@$(BIN)/python -m benchmarks.run $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS))

format: ## rewrite the code in its one format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

contracts: setup ## bring schemas/generated/ and docs/events.md up to date with schemas/
	@$(BIN)/python -m schemas.generate $(ARGS)

lock: ## resolve every dependency again and write the locks
	@$(SETUP) --lock

clean: ## delete what set-up made (not the state in var/, not the caches)
	rm -rf .tools .venv .venv-airflow .venv-bench .jars .java .node .browser warehouse/pages/dist warehouse/pages/node_modules build *.egg-info
