# E-commerce ELT. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_SPARK := $(VENV)/.ready-spark
READY_DEV := $(VENV)/.ready-dev
# The security scanner has packages of its own versions.
READY_SCAN := $(VENV)/scan/.ready
# So have the rivals of the benchmarks.
READY_BENCHMARK := $(VENV)/benchmark/.ready
# Airflow is some thousand modules: each of its processes would compile them anew, and a start takes twice as long.
unexport PYTHONDONTWRITEBYTECODE
export AIRFLOW_PORT CLOUD_PORT REDSHIFT_PORT FIREHOSE_PORT DYNAMODB_PORT QUICKSIGHT_PORT GLUE_PORT

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {gsub(/\$$\$$/, "$$"); printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "setup: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); run: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "setup: $(PYTHON) has no ensurepip; install its venv package (on Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "setup: virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(READY): $(VENV)/bin/uv requirements.txt pyproject.toml
	@echo "setup: packages of requirements.txt"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

$(READY_SPARK): $(READY) requirements-spark.txt
	@echo "setup: packages of requirements-spark.txt"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-spark.txt
	@touch $@

$(READY_DEV): $(READY_SPARK) requirements-dev.txt
	@echo "setup: packages of requirements-dev.txt"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt -r requirements-dev.txt
	@touch $@

$(READY_SCAN): $(VENV)/bin/uv requirements-scan.txt
	@echo "setup: packages of requirements-scan.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/scan
	@$(BIN)/uv pip install --quiet --python $(VENV)/scan/bin/python -r requirements-scan.txt
	@touch $@

$(READY_BENCHMARK): $(VENV)/bin/uv requirements-benchmark.txt
	@echo "setup: packages of requirements-benchmark.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/benchmark
	@$(BIN)/uv pip install --quiet --python $(VENV)/benchmark/bin/python -r requirements-benchmark.txt
	@touch $@

.PHONY: setup
setup: $(READY) ## virtual environment with the pinned packages

.PHONY: setup-spark
setup-spark: $(READY_SPARK) ## also PySpark, for the local Glue's Spark job; it needs Java 17

.PHONY: demo
demo: $(READY) ## start everything, send events, check that none is lost or doubled; DATA=file ROWS=n FEED=name
	@$(BIN)/python -m local demo $(if $(DATA),--data "$(DATA)") $(if $(ROWS),--rows $(ROWS)) $(if $(FEED),--feed $(FEED))

.PHONY: up
up: $(READY) ## start the local cloud and Airflow; AIRFLOW_PORT, CLOUD_PORT, REDSHIFT_PORT, ...
	@$(BIN)/python -m local up

.PHONY: down
down: $(READY) ## stop everything; the state stays
	@$(BIN)/python -m local down

.PHONY: reset
reset: $(READY) ## stop everything and remove the state
	@$(BIN)/python -m local reset

.PHONY: env
env: $(READY) ## print export lines: eval "$$(make -s env)"; STAGE=name for one on AWS
	@$(BIN)/python -m $(if $(STAGE),infra.stage env $(STAGE),local env)

# The keys of a stage on AWS, or of the local cloud.
API_KEYS = $(if $(STAGE),,eval "$$($(BIN)/python -m local env)" && )$(BIN)/python -m infra.api_keys

.PHONY: api-key
api-key: $(READY) ## make a key of the HTTP API and print it, this once; NAME=shop MAY=send,read,correct STAGE=dev
	@$(API_KEYS) create $(NAME) $(if $(MAY),--may $(MAY)) $(if $(STAGE),--stage $(STAGE))

.PHONY: api-key-rotate
api-key-rotate: $(READY) ## make a further key of NAME; the one before is valid until api-key-retire; STAGE=dev
	@$(API_KEYS) rotate $(NAME) $(if $(STAGE),--stage $(STAGE))

.PHONY: api-key-retire
api-key-retire: $(READY) ## end all keys of NAME but the newest; STAGE=dev
	@$(API_KEYS) retire $(NAME) $(if $(STAGE),--stage $(STAGE))

.PHONY: api-key-revoke
api-key-revoke: $(READY) ## end NAME with all its keys; STAGE=dev
	@$(API_KEYS) revoke $(NAME) $(if $(STAGE),--stage $(STAGE))

.PHONY: api-keys
api-keys: $(READY) ## list the keys of the HTTP API with their rights; STAGE=dev
	@$(API_KEYS) list $(if $(STAGE),--stage $(STAGE))

.PHONY: deploy
deploy: $(READY_DEV) ## check, show, ask, and deploy to AWS; STAGE=dev, ARGS=--yes
	@$(BIN)/python -m infra.stage deploy $(ARGS) $(or $(STAGE),dev)

.PHONY: undeploy
undeploy: $(READY_DEV) ## delete the stacks on AWS; what holds events stays; STAGE=dev
	@$(BIN)/python -m infra.stage undeploy $(ARGS) $(or $(STAGE),dev)

.PHONY: status
status: $(READY) ## show each part and its restarts
	@$(BIN)/python -m local status

.PHONY: logs
logs: $(READY) ## follow the logs; PART=name for one part
	@$(BIN)/python -m local logs $(if $(PART),--part $(PART))

.PHONY: test
test: ## everything: unit, DAG integrity, SQL, stand-ins, end to end; lint, types and scan beside it
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target pytest lint types scan

.PHONY: pytest
pytest: $(READY_DEV)
	+@$(BIN)/python -m pytest $(PYTEST) # the + shows its progress at once

# Runs the compose file where no image registry can be reached; else plain docker does.
COMPOSE_SMOKE ?= ../shared/compose-smoke/compose-smoke

.PHONY: compose-test
compose-test: $(READY_DEV) ## build and start docker-compose.yaml, send events, kill its services one by one, count; needs Docker
	@if [ -x $(COMPOSE_SMOKE) ]; then \
		$(COMPOSE_SMOKE) . -- $(abspath $(BIN))/python -m tests.compose.check; \
	else \
		export COMPOSE_PROJECT_NAME=ecommerce-elt-test; \
		trap 'docker compose down --volumes --remove-orphans' EXIT; \
		docker compose up --detach --build --wait --wait-timeout 600 && $(BIN)/python -m tests.compose.check; \
	fi

.PHONY: test-slow
test-slow: $(READY_DEV) ## what takes longest: faults and kills, fuzzing, the lake, personal data, erasure and privileges end to end; both engines row by row (Java 17)
	@$(BIN)/python -m pytest -m slow tests/e2e/test_lake.py tests/faults tests/e2e/test_load_events.py tests/seeds tests/glue tests/plugins tests/lambdas tests/local $(PYTEST)

SECONDS ?= 600
SEED ?= 1
.PHONY: chaos
chaos: $(READY_DEV) ## kill parts of a whole stack at random for SECONDS while events stream in, then check I1 to I6; SEED makes the plan
	@$(BIN)/python -m tests.faults.chaos --seconds $(SECONDS) --seed $(SEED)

.PHONY: lint
lint: $(READY_DEV) ## ruff with Airflow's rules, cfn-lint, docs that are generated
	@$(BIN)/ruff check .
	@$(BIN)/ruff check --preview --select AIR dags plugins
	@$(BIN)/ruff format --check .
	@$(BIN)/cfn-lint infra/*.yaml
	@$(BIN)/python docs/generate_dags.py --check
	@$(BIN)/python docs/generate_metrics.py --check

.PHONY: scan
scan: $(READY_SCAN) ## security: templates, Dockerfile and secrets, by checkov; .checkov.yaml says what is let pass, and why
	@$(VENV)/scan/bin/checkov --config-file .checkov.yaml --quiet --compact

.PHONY: types
types: $(READY_DEV) ## mypy, strict
	@$(BIN)/mypy
	@for name in $(notdir $(patsubst %/handler.py,%,$(wildcard lambdas/*/handler.py))); do \
		(cd lambdas/$$name && MYPYPATH=../shared ../../$(BIN)/mypy --cache-dir=../../.mypy_cache/lambdas --config-file= --strict --ignore-missing-imports logic.py handler.py) || exit 1; \
	done

.PHONY: format
format: $(READY_DEV) ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: docs
docs: $(READY) ## write docs/dags.md from the DAGs, docs/metrics.md from the SQL
	@$(BIN)/python docs/generate_dags.py
	@$(BIN)/python docs/generate_metrics.py

.PHONY: benchmark
benchmark: $(READY_DEV) ## measure what the README says; DATA=path/to/online_retail.csv.gz
	@$(BIN)/python -m benchmarks $(if $(DATA),--data "$(DATA)")

.PHONY: benchmark-cleaning
benchmark-cleaning: $(READY_DEV) ## measure the cleaning against bare DuckDB and pandas; DATA=path/to/online_retail.csv.gz
	@$(BIN)/python -m benchmarks.cleaning --data "$(DATA)"

.PHONY: benchmark-streams
benchmark-streams: $(READY_DEV) ## measure the stream's Lambdas against bare loops; DATA=path/to/online_retail.csv.gz
	@$(BIN)/python -m benchmarks.streams --data "$(DATA)"

.PHONY: benchmark-lake
benchmark-lake: $(READY_DEV) ## measure landed files, compaction and crawls; DATA=path/to/online_retail.csv.gz
	@$(BIN)/python -m benchmarks.lake $(if $(DATA),--data "$(DATA)") $(if $(ONLY),--only $(ONLY))

.PHONY: benchmark-rivals
benchmark-rivals: $(READY_DEV) $(READY_BENCHMARK) ## the same file by rivals and by us: seconds, memory, what is checked; DATA=file ONLY=name
	@$(BIN)/python -m benchmarks.rivals --data "$(DATA)" $(if $(ONLY),--only $(ONLY))

.PHONY: benchmark-growth
benchmark-growth: $(READY_DEV) ## what new events cost beside 1, 10 and 50 times the data, and after a month of batches; ARGS=--scales=1,10
	@$(BIN)/python -m benchmarks.growth $(ARGS)

.PHONY: benchmark-soak
benchmark-soak: $(READY_DEV) ## the whole stack under a steady load: age of an event, memory and steps; MINUTES=20 RATE=300
	@$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),20) --rate $(or $(RATE),300)

.PHONY: benchmark-load
benchmark-load: $(READY_DEV) ## measure loads into facts of 20 thousand, 10 million and 30 million rows
	@$(BIN)/python -m benchmarks.load

.PHONY: benchmark-producer
benchmark-producer: $(READY_DEV) ## measure reading and sending against bare parsers and a bare PutRecords loop; DATA=path/to/online_retail.csv.gz
	@$(BIN)/python -m benchmarks.producer $(if $(DATA),--data "$(DATA)") $(if $(ONLY),--only $(ONLY))

.PHONY: requirements
requirements: $(VENV)/bin/uv ## compile requirements*.in to pinned requirements*.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 -c requirements.txt requirements-airflow.in -o requirements-airflow.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-spark.in -o requirements-spark.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 requirements-scan.in -o requirements-scan.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 requirements-benchmark.in -o requirements-benchmark.txt

.PHONY: clean
clean: ## remove the virtual environment and caches
	@if [ -e $(READY) ]; then $(BIN)/python -m local down; fi
	@rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis *.egg-info
