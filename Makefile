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
READY_SBOM := $(VENV)/sbom/.ready
# So have BigQuery's emulators.
READY_BIGQUERY := $(VENV)/bigquery/.ready
# So have the clients that the tests connect to the local warehouse.
READY_CLIENTS := $(VENV)/clients/.ready
# So have the rivals of the benchmarks.
READY_BENCHMARK := $(VENV)/benchmark/.ready
# So has the site of the documentation.
READY_DOCS := $(VENV)/docs/.ready
# And so has the program that forecasts, TensorFlow alone is 2 GB.
READY_FORECAST := $(VENV)/forecast/.ready
# Airflow is some thousand modules: each of its processes would compile them anew, and a start takes twice as long.
unexport PYTHONDONTWRITEBYTECODE
# What `up` and `demo` start besides: WITH=bigquery.
READY_WITH = $(READY) $(if $(findstring bigquery,$(WITH)),$(READY_BIGQUERY))

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
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

$(READY_SPARK): $(READY) requirements-spark.txt
	@echo "setup: packages of requirements-spark.txt"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-spark.txt
	@touch $@

$(READY_DEV): $(READY_SPARK) requirements-dev.txt
	@echo "setup: packages of requirements-dev.txt"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt -r requirements-dev.txt
	@touch $@

$(READY_SCAN): $(VENV)/bin/uv requirements-scan.txt
	@echo "setup: packages of requirements-scan.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/scan
	@$(BIN)/uv pip install --quiet --python $(VENV)/scan/bin/python --require-hashes -r requirements-scan.txt
	@touch $@

$(READY_SBOM): $(VENV)/bin/uv requirements-sbom.txt
	@echo "setup: packages of requirements-sbom.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/sbom
	@$(BIN)/uv pip install --quiet --python $(VENV)/sbom/bin/python --require-hashes -r requirements-sbom.txt
	@touch $@

$(READY_DOCS): $(VENV)/bin/uv requirements-docs.txt
	@echo "setup: packages of requirements-docs.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/docs
	@$(BIN)/uv pip install --quiet --python $(VENV)/docs/bin/python --require-hashes -r requirements-docs.txt
	@touch $@

$(READY_BENCHMARK): $(VENV)/bin/uv requirements-benchmark.txt
	@echo "setup: packages of requirements-benchmark.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/benchmark
	@$(BIN)/uv pip install --quiet --python $(VENV)/benchmark/bin/python --require-hashes -r requirements-benchmark.txt
	@touch $@

# DuckDB looks for its extension `spatial` in the home folder, which is this environment's for the emulator.
$(READY_BIGQUERY): $(VENV)/bin/uv requirements-bigquery.txt
	@echo "setup: packages of requirements-bigquery.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/bigquery
	@$(BIN)/uv pip install --quiet --python $(VENV)/bigquery/bin/python --require-hashes -r requirements-bigquery.txt
	@HOME=$(abspath $(VENV)/bigquery) $(VENV)/bigquery/bin/python -c 'from duckdb_extensions import import_extension; import_extension("spatial")' >/dev/null
	@touch $@

$(READY_CLIENTS): $(VENV)/bin/uv requirements-clients.txt
	@echo "setup: packages of requirements-clients.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/clients
	@$(BIN)/uv pip install --quiet --python $(VENV)/clients/bin/python --require-hashes -r requirements-clients.txt
	@touch $@

$(READY_FORECAST): $(VENV)/bin/uv requirements-forecast.txt
	@echo "setup: packages of requirements-forecast.txt"
	@$(BIN)/uv venv --quiet --clear $(VENV)/forecast
	@$(BIN)/uv pip install --quiet --python $(VENV)/forecast/bin/python --require-hashes -r requirements-forecast.txt
	@touch $@

.PHONY: setup
setup: $(READY) ## make the virtual environment with the pinned packages

.PHONY: setup-spark
setup-spark: $(READY_SPARK) ## install PySpark for the local Glue's Spark job; it needs Java 17

.PHONY: setup-bigquery
setup-bigquery: $(READY_BIGQUERY) ## install the emulators of BigQuery and Cloud Storage, in their own virtual environment

.PHONY: setup-clients
setup-clients: $(READY_CLIENTS) ## install dbt and SQLAlchemy, with which tests connect to the local warehouse, in their own virtual environment

.PHONY: setup-forecast
setup-forecast: $(READY_FORECAST) ## install TensorFlow and statsforecast for demand forecasts; 2 GB

.PHONY: demo
demo: $(READY_WITH) ## start everything, send events, and check that none is lost or doubled; DATA=file ROWS=n FEED=name ARGS="--date-order dmy" WITH=bigquery
	@$(BIN)/python -m local demo $(if $(WITH),--with $(WITH)) $(if $(DATA),--data "$(DATA)") $(if $(ROWS),--rows $(ROWS)) $(if $(FEED),--feed $(FEED)) $(if $(ARGS),-- $(ARGS))

.PHONY: up
up: $(READY_WITH) ## start the local cloud and Airflow; WITH=bigquery, LOGIN=1 (a password), AIRFLOW_PORT=9080 and the like: docs/using-it.md
	@$(BIN)/python -m local up $(if $(WITH),--with $(WITH)) $(if $(LOGIN),--login)

.PHONY: down
down: $(READY) ## stop everything and keep the state
	@$(BIN)/python -m local down

.PHONY: reset
reset: $(READY) ## stop everything and remove the state
	@$(BIN)/python -m local reset

.PHONY: env
env: $(READY) ## print export lines: eval "$$(make -s env)"; STAGE=name for an environment on AWS
	@$(BIN)/python -m $(if $(STAGE),infra.stage env $(STAGE),local env)

.PHONY: airflow
airflow: $(READY) ## run Airflow's command line in the running stack's environment; ARGS="dags test build_marts"
	@$(BIN)/python -m local airflow $(ARGS)

# The keys of a stage on AWS, or of the local cloud.
API_KEYS = $(if $(STAGE),,eval "$$($(BIN)/python -m local env)" && )$(BIN)/python -m infra.api_keys

.PHONY: api-key
api-key: $(READY) ## make a key of the HTTP API and print it once; NAME=shop MAY=send,read,correct STAGE=dev
	@$(API_KEYS) create $(NAME) $(if $(MAY),--may $(MAY)) $(if $(STAGE),--stage $(STAGE))

.PHONY: api-key-rotate
api-key-rotate: $(READY) ## make another key for NAME; the previous one is valid until api-key-retire; STAGE=dev
	@$(API_KEYS) rotate $(NAME) $(if $(STAGE),--stage $(STAGE))

.PHONY: api-key-retire
api-key-retire: $(READY) ## revoke all keys of NAME except the newest; STAGE=dev
	@$(API_KEYS) retire $(NAME) $(if $(STAGE),--stage $(STAGE))

.PHONY: api-key-revoke
api-key-revoke: $(READY) ## revoke all keys of NAME; STAGE=dev
	@$(API_KEYS) revoke $(NAME) $(if $(STAGE),--stage $(STAGE))

.PHONY: api-keys
api-keys: $(READY) ## list the keys of the HTTP API with their rights; STAGE=dev
	@$(API_KEYS) list $(if $(STAGE),--stage $(STAGE))

.PHONY: deploy
deploy: $(READY_DEV) ## check, show the changes, ask for confirmation, and deploy to AWS; STAGE=dev, ARGS=--yes
	@$(BIN)/python -m infra.stage deploy $(ARGS) $(or $(STAGE),dev)

.PHONY: cost
cost: $(READY) ## compute the hours that the warehouse runs and their cost, for each environment: docs/cost.md
	@$(BIN)/python -m infra.cost

.PHONY: undeploy
undeploy: $(READY_DEV) ## delete the stacks on AWS and keep the resources that hold events; STAGE=dev
	@$(BIN)/python -m infra.stage undeploy $(ARGS) $(or $(STAGE),dev)

.PHONY: status
status: $(READY) ## show each part and its restarts
	@$(BIN)/python -m local status

.PHONY: logs
logs: $(READY) ## follow the logs; PART=name for one part
	@$(BIN)/python -m local logs $(if $(PART),--part $(PART))

.PHONY: test
test: ## run all tests (unit, DAG integrity, SQL, stand-ins, end to end), and lint, types and scan
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

# In the order in which two workers take the files.
WHOLE_STACKS := tests/e2e/test_load_events.py tests/e2e/test_lake.py tests/faults
.PHONY: test-slow
test-slow: $(READY_DEV) ## run the longer tests: faults and kills, the whole real file, the lake, personal data, erasure, privileges, fuzzing
	@$(BIN)/python -m pytest -m 'slow and not nightly' $(WHOLE_STACKS) tests/infra tests/lambdas tests/plugins $(PYTEST)

.PHONY: test-nightly
test-nightly: $(READY_DEV) $(READY_BIGQUERY) $(READY_CLIENTS) $(READY_FORECAST) ## run these and the longest ones: BigQuery, forecasts, other senders and clients, files of gigabytes, Spark row by row (Java 17); some 4 GB of packages
	@$(BIN)/python -m pytest -m 'slow or nightly' $(WHOLE_STACKS) tests/e2e/test_bigquery.py tests/e2e/test_new_feed.py tests/seeds tests/forecast tests/glue \
		tests/infra tests/lambdas tests/local tests/notebooks tests/plugins tests/scaffold $(PYTEST)

# MWAA's packages and ours as its image installs them, an environment a version of Airflow that MWAA has.
MWAA := 3.3.1 3.2.1
$(VENV)/mwaa-%/.ready: $(READY_DEV) infra/mwaa/%/packages.txt requirements-mwaa.txt requirements-mwaa-3.2.1.txt
	@echo "setup: packages of MWAA, Airflow $*"
	@$(BIN)/python -m tests.mwaa.environment $* $(VENV)/mwaa-$*
	@touch $@

# What needs no local cloud: the page behind its login, DAG integrity, and the cleaning, whose SQL and engine are of these packages.
MWAA_TESTS := tests/mwaa/test_login.py tests/dags tests/plugins/cleaning/test_cleaning.py tests/plugins/feeds/test_dialects.py tests/plugins/feeds/test_feeds.py

.PHONY: test-mwaa
test-mwaa: $(MWAA:%=$(VENV)/mwaa-%/.ready) ## test with the packages of managed Airflow (MWAA): DAGs, cleaning, one load end to end, the page
	@for version in $(MWAA); do \
		echo "Airflow $$version:"; \
		PYTHONPATH=$(VENV)/mwaa-$$version/tools:plugins:. AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR $(VENV)/mwaa-$$version/bin/python \
			-m pytest -c tests/mwaa/pytest.ini --rootdir . --confcutdir . $(MWAA_TESTS) || exit 1; \
	done
	@$(BIN)/python -m pytest -n 0 tests/mwaa/test_stack.py $(PYTEST)

SECONDS ?= 600
SEED ?= 1
.PHONY: chaos
chaos: $(READY_DEV) ## kill parts of a whole stack at random for SECONDS while events stream in, then check I1 to I6; SEED makes the plan
	@$(BIN)/python -m tests.faults.chaos --seconds $(SECONDS) --seed $(SEED)

# Markdown at 100 columns, but for the changelog (a line an entry, merged by union) and pages that `make docs` writes, whole or in part.
GENERATED_PAGES := $(addprefix docs/,dags.md features.md forecast.md local-redshift.md metrics.md redshift.md settings.md)
MDFORMAT = $(VENV)/docs/bin/mdformat --wrap 100 --number --compact-tables --no-mkdocs-math --align-semantic-breaks-in-lists
MARKDOWN = $(filter-out CHANGELOG.md $(GENERATED_PAGES),$(shell git ls-files '*.md'))

.PHONY: lint
lint: $(READY_DEV) $(READY_DOCS) ## check with ruff and Airflow's rules, import-linter, cfn-lint, shellcheck and mdformat; check generated docs and the links of the site
	@$(BIN)/ruff check .
	@$(BIN)/ruff check --preview --select AIR dags plugins
	@$(BIN)/ruff format --check .
	@said=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$said"; exit 1; }
	@$(BIN)/cfn-lint infra/*.yaml
	@$(BIN)/shellcheck infra/gcp/*.sh
	@$(MDFORMAT) --check $(MARKDOWN)
	@$(BIN)/python docs/generate_dags.py --check
	@$(BIN)/python docs/generate_metrics.py --check
	@$(BIN)/python docs/generate_features.py --check
	@$(BIN)/python docs/generate_settings.py --check
	@$(BIN)/python docs/generate_redshift.py --check
	@NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --quiet --strict --site-dir build/site-checked
	@$(BIN)/python docs/generate_local_redshift.py --check

DIST := dist
.PHONY: dist
dist: $(READY) $(READY_SBOM) ## build the wheel and the software bill of materials (CycloneDX, of requirements.txt with its hashes) in dist/
	@rm -rf $(DIST) && mkdir $(DIST)
	@$(BIN)/uv build --quiet --wheel --out-dir $(DIST)
	@$(VENV)/sbom/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-reproducible -o $(DIST)/ecommerce-elt.cdx.json
	@ls $(DIST)

.PHONY: scan
scan: $(READY_SCAN) ## scan templates, Dockerfile and secrets with checkov; .checkov.yaml lists the exceptions with their reasons
	@$(VENV)/scan/bin/checkov --config-file .checkov.yaml --quiet --compact

.PHONY: types
types: $(READY_DEV) ## check types with mypy, strict
	@$(BIN)/mypy

.PHONY: format
format: $(READY_DEV) $(READY_DOCS) ## format the code and the Markdown
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(MDFORMAT) $(MARKDOWN)

.PHONY: docs
docs: generated-docs $(READY_DOCS) ## write the generated pages, and build the site in build/site
	@NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --quiet --strict
	@echo "docs: build/site/index.html"

.PHONY: docs-serve
docs-serve: generated-docs $(READY_DOCS) ## serve the site at http://127.0.0.1:8000, and rebuild it after each change
	@NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs serve --strict --dev-addr 127.0.0.1:8000

.PHONY: screenshots
screenshots: $(READY_DEV) ## take the pictures in docs/images from the running stack, after make demo; needs Chromium
	@PYTHONPATH=. $(BIN)/python docs/screenshots.py

.PHONY: generated-docs
generated-docs: $(READY) ## write docs/dags.md, docs/metrics.md, docs/settings.md and the dictionary of docs/features.md
	@$(BIN)/python docs/generate_dags.py
	@$(BIN)/python docs/generate_metrics.py
	@$(BIN)/python docs/generate_features.py
	@$(BIN)/python docs/generate_settings.py
	@$(BIN)/python docs/generate_redshift.py
	@$(BIN)/python docs/generate_local_redshift.py

.PHONY: feed
feed: $(READY) ## make a new feed from a sample of its files: NAME=reviews FROM=sample.csv [ARGS="--date-order dmy"]; ARGS=--help
	@$(BIN)/python -m ecommerce_elt.scaffold $(ARGS) -- "$(NAME)" "$(FROM)"

.PHONY: sql
sql: $(READY) ## print the SQL of a feed, its own and the generated one: FEED=reviews
	@$(BIN)/python -m ecommerce_elt.feeds.feed_sql "$(FEED)"

.PHONY: benchmark
benchmark: $(READY_DEV) ## measure the figures of benchmarks/README.md; DATA=path/to/online_retail.csv.gz
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
benchmark-rivals: $(READY_DEV) $(READY_BENCHMARK) ## load the same file with other tools and this one: seconds, memory, checks; DATA=file ONLY=name
	@$(BIN)/python -m benchmarks.rivals --data "$(DATA)" $(if $(ONLY),--only $(ONLY))

.PHONY: benchmark-iceberg
benchmark-iceberg: $(READY_BENCHMARK) ## count what Apache Iceberg asks of S3 for the batches of the lake
	@$(VENV)/benchmark/bin/python -m benchmarks.iceberg

.PHONY: benchmark-forecast
benchmark-forecast: $(READY_FORECAST) ## compare the forecasts at past origins, and write the tables of docs/forecast.md; DATA=path/to/online_retail.csv.gz
	@$(VENV)/forecast/bin/python -m forecast benchmark --demand "$(DATA)" --country GB-ENG --report docs/forecast.md $(ARGS)

.PHONY: benchmark-growth
benchmark-growth: $(READY_DEV) ## measure the cost of new events beside 1, 10 and 50 times the data, and after a month of batches; ARGS=--scales=1,10
	@$(BIN)/python -m benchmarks.growth $(ARGS)

.PHONY: benchmark-soak
benchmark-soak: $(READY_DEV) ## measure the whole stack under a steady load: age of an event, memory and steps; MINUTES=20 RATE=300
	@$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),20) --rate $(or $(RATE),300)

.PHONY: benchmark-load
benchmark-load: $(READY_DEV) ## measure loads into facts of 20 thousand, 10 million and 30 million rows
	@$(BIN)/python -m benchmarks.load

.PHONY: benchmark-producer
benchmark-producer: $(READY_DEV) ## measure reading and sending against bare parsers and a bare PutRecords loop; DATA=path/to/online_retail.csv.gz
	@$(BIN)/python -m benchmarks.producer $(if $(DATA),--data "$(DATA)") $(if $(ONLY),--only $(ONLY))

.PHONY: benchmark-queries
benchmark-queries: $(READY_DEV) ## count the queries of AWS's benchmark of warehouses that the local one answers; CLONE=path/to/amazon-redshift-utils
	@$(BIN)/python -m benchmarks.queries "$(CLONE)"

# A changed file of a registry is refused: every package has its hashes.
COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes
# As MWAA installs: its image's constraints, Python 3.12, glibc 2.34, and nothing that has to be built.
COMPILE_MWAA = $(COMPILE) --no-annotate --python-version 3.12 --python-platform x86_64-manylinux_2_28 --only-binary :all: --emit-build-options
# The boto3 of MWAA's 3.2.1 does not know the Data API's parameters of a batch. It and what its version decides are ours there, as MWAA allows.
MWAA_321_OURS := aiobotocore|aiohttp|apache-airflow-providers-(amazon|common-compat|common-sql|http)|boto3|botocore|multidict|s3transfer|wrapt|yarl
.PHONY: requirements
requirements: $(VENV)/bin/uv ## compile requirements*.in to pinned requirements*.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements.in -o requirements.txt
	@$(COMPILE) --universal --python-version 3.11 -c requirements.txt requirements-airflow.in -o requirements-airflow.txt
	@$(COMPILE_MWAA) --upgrade -c infra/mwaa/3.3.1/airflow_constraints.txt -c infra/mwaa/3.3.1/mwaa_essential_constraints.txt requirements-airflow.in -o requirements-mwaa.txt
	@mkdir -p build
	@(grep -vE "^($(MWAA_321_OURS))==" infra/mwaa/3.2.1/airflow_constraints.txt; grep -ohE "^($(MWAA_321_OURS))(\[\w+\])?==[^ ]+" requirements.txt) > build/mwaa-3.2.1-constraints.txt
	@$(COMPILE_MWAA) -c build/mwaa-3.2.1-constraints.txt -c infra/mwaa/3.2.1/mwaa_essential_constraints.txt requirements-airflow.in -o requirements-mwaa-3.2.1.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements-spark.in -o requirements-spark.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements-scan.in -o requirements-scan.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements-sbom.in -o requirements-sbom.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements-bigquery.in -o requirements-bigquery.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements-clients.in -o requirements-clients.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements-docs.in -o requirements-docs.txt
	@$(COMPILE) --universal --python-version 3.11 requirements-benchmark.in -o requirements-benchmark.txt
	@$(COMPILE) --upgrade --universal --python-version 3.11 requirements-forecast.in -o requirements-forecast.txt

.PHONY: clean
clean: ## remove the virtual environment and caches
	@if [ -e $(READY) ]; then $(BIN)/python -m local down; fi
	@rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis *.egg-info
