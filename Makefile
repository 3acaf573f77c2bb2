# `make` lists what there is. The recipes need Python and git, and nothing else on the PATH.

# The first Python that really runs and is new enough: a name on the PATH may be an empty shell.
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11; do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo "$$name"; break; fi; done)
python = $(or $(PYTHON),$(error Python 3.11 or newer is needed, and none is on the PATH))
venv := .venv/bin/python

# `make up QUERY_PORT=8090`, or RAGTIME_QUERY_PORT=8090 in the environment; 0 takes any free port.
ports := QUERY INGEST PROCESSOR KAFKA KAFKA_CONTROLLER CLICKHOUSE
$(foreach port,$(ports),$(if $(filter command,$(origin $(port)_PORT)),\
	$(eval export RAGTIME_$(port)_PORT := $($(port)_PORT))))

# Bytecode is kept: tests and the local stack start Python by the hundred.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up down clean logs status demo check test test-deploy clients chaos chaos-matrix chaos-mutants chaos-outages states commands bench bench-neighbours bench-scale bench-check upgrade-test fmt requirements schema documents conformance env
.NOTPARALLEL:

help:
	@$(python) -c 'import re; text = open("Makefile").read(); \
	verbs = re.findall(r"^([\w-]+):.*?## (.*)$$", text, re.M); \
	print("\n".join(f"make {name:16} {does}" for name, does in verbs))'

up: local ## start everything, send demo data the first time, show an answer (QUERY_PORT=… INGEST_PORT=…)
	@$(venv) -m deploy.local up

down: ## stop everything, keep the data
	@$(python) -m deploy.local down

clean: ## stop everything, remove the data
	@$(python) -m deploy.local clean

logs: ## follow all logs
	@$(python) -m deploy.local logs

status: ## say what runs
	@$(python) -m deploy.local status

demo: local ## send more demo data
	@$(venv) -m deploy.local demo

env: ## write .env with new secrets for docker compose; never overwrites one
	@$(python) -m deploy.docker.environment

check: dev ## format, lint, types, imports, unit tests: under a minute, no servers
	@$(venv) -m deploy.local.check

test: dev ## all tests, against real servers of their own
	@$(venv) -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-deploy: dev ## the images in docker compose (needs a daemon); rules, dashboards, chart by tools of Go
	@$(venv) -m pytest -m "docker or deploy" tests/deploy

clients: dev ## requests, urllib, httpx, aiohttp, fetch, axios, net/http against the product (gets Node.js; needs Go)
	@$(venv) -m pytest -m clients tests/clients

chaos: dev ## kill and freeze everything at random, and count (ROUNDS=20 SEED=…)
	@$(venv) -m tests.chaos --rounds $(or $(ROUNDS),20) $(if $(SEED),--seed $(SEED))

chaos-matrix: dev ## kill ClickHouse at each system call of insert and recovery (needs strace)
	@$(venv) -m tests.chaos.matrix

chaos-mutants: dev ## break the processor on purpose; the tests must notice
	@$(venv) -m tests.chaos.mutants

chaos-outages: dev ## ClickHouse and Kafka away for 5 minutes each, under load
	@$(venv) -m tests.chaos.outages

states: dev ## break an installation in 18 ways, and look who tells (STATE=… for some; builds Prometheus by Go)
	@$(venv) -m tests.states $(if $(STATE),"$(STATE)")

commands: dev ## run each command of the documents on a stack of its own; a table of exit codes
	@$(venv) -m tests.documents

upgrade-test: dev ## replace the last release under load, and count, in 5 minutes (FROM=…)
	@$(venv) -m tests.upgrade $(if $(FROM),--from $(FROM))

bench: dev ## measure speed beside bare versions, in 15 minutes (PARTS="write-path ingest")
	@$(venv) -m tests.bench $(PARTS)

bench-scale: dev ## measure with 100 million events, in 30 minutes
	@$(venv) -m tests.bench --scale

bench-neighbours: dev ## attack one project's neighbour in every way, a minute each (KINDS=… SECONDS=…)
	@$(venv) -m tests.bench.neighbours $(KINDS) $(if $(SECONDS),--seconds $(SECONDS))

bench-check: dev ## measure again, and fail on a loss against the committed baseline (PARTS=…)
	@$(venv) -m tests.bench.check $(PARTS)

fmt: dev ## format the code, mend what lint can mend
	@$(venv) -m ruff format .
	@$(venv) -m ruff check --fix .

requirements: dev ## compile the hashed requirements files from pyproject.toml
	@$(venv) -m deploy.local.requirements

schema: dev ## write libs/clickhouse/schema.sql from the migrations
	@$(venv) -m libs.clickhouse.schema

documents: dev ## write what is written from the code: docs/schemas, settings, metrics, dashboards
	@$(venv) -m deploy.documents

conformance: dev ## schemathesis against both services, 2,000 cases each, in 5 minutes (CASES=…)
	@$(venv) -m tests.conformance $(CASES)

.PHONY: local dev
local dev:
	@$(python) -m deploy.local.bootstrap $@
