# Everything a person or CI runs. `make` alone lists the targets.
# Python 3.11 or later is found by itself; name another with: make PYTHON=/path/to/python venv

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RELEASE_TOOLS := $(VENV)/.release-tools
# Every environment has the versions of the lock; `make lock` refreshes it.
LOCK := requirements-dev.lock
# The same versions with hashes, without what only development needs: for the container image.
IMAGE_LOCK := requirements.lock
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTHON ?=
SOURCES := schemas router streams tests benchmarks

# Numeric libraries start a thread a core each; processes of ours are many, cores are few.
export OPENBLAS_NUM_THREADS ?= 1

# Tests wait more than they compute, so three run at a time, each process with brokers of its own
# (tests/conftest.py says which with which).
PARALLEL ?= -n 3

.DEFAULT_GOAL := help
.PHONY: help venv lock hooks demo test test-quick tools chaos lint format kafka kafka-stop bench bench-compare paper docs schemas release clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

venv: $(STAMP) ## Make .venv with Sluice and all that its tests need

$(STAMP): pyproject.toml $(LOCK)
	@set -e; \
	if [ ! -x $(BIN)/python ]; then \
	  for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	      2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "make: no Python 3.11 or later with venv (tried: $(or $(PYTHON),python3 python3.13 python3.12 python3.11))." >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3 venv" >&2; exit 1; \
	  fi; \
	  "$$found" -m venv $(VENV); \
	fi
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || \
	  echo "make: no C++ compiler on PATH, and the package annoy is compiled when installed" >&2
	@# An environment made before the distribution was called sluice-llm holds the old one too.
	@$(PIP) uninstall --yes sluice >/dev/null 2>&1 || true
	@rm -rf sluice.egg-info
	$(PIP) install -c $(LOCK) -e '.[dev,docs]'
	@touch $(STAMP)

$(RELEASE_TOOLS): $(STAMP)
	$(PIP) install -c $(LOCK) -e '.[release]'
	@touch $@

lock: $(RELEASE_TOOLS) ## Refresh the lock: the newest versions that pyproject.toml allows, for Python 3.11 and later
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --upgrade \
	  --extra dev --extra docs --extra release --no-emit-index-url \
	  --custom-compile-command 'make lock' --output-file $(LOCK)
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	  --extra serve --extra otel --generate-hashes --constraint $(LOCK) --no-emit-index-url \
	  --custom-compile-command 'make lock' --output-file $(IMAGE_LOCK)

hooks: $(STAMP) ## Let git run ruff, mypy and the import contracts before each commit
	$(BIN)/pre-commit install

demo: $(STAMP) ## Run the whole system once: embedded broker, made-up workload, 3,000 queries
	$(BIN)/sluice demo

test: $(STAMP) ## Run all tests; the real-Kafka ones where Java and Maven are
	$(BIN)/pytest $(PARALLEL)

test-quick: $(STAMP) ## Run the tests that need no real Kafka and no data
	$(BIN)/pytest -q $(PARALLEL) -m "not kafka and not data"

tools: ## Bring prometheus and helm, without which the tests of deploy/ are skipped
	deploy/tools.sh

chaos: $(STAMP) ## Kill a hundred processes under load, pause twenty (KILLS=, SEED=), and report: 20 minutes. LIMITS=1: under limits that overlap. BROKERS=3: kill each of three brokers ten times instead. OUTAGES=5: stop workers in their calls and kill their server. FAILOVER=1: kill routers and workers while queries fail over. BATCH=20000: kill what runs a batch of so many lines
ifdef BATCH
	SLUICE_LINES=$(BATCH) SLUICE_KILLS=$(or $(KILLS),10) $(BIN)/pytest -q -s tests/chaos/test_batch_kill.py
else ifdef FAILOVER
	SLUICE_RATE=60 SLUICE_KILLS=$(or $(KILLS),10) $(BIN)/pytest -q -s tests/chaos/test_failover_kill.py
else ifdef OUTAGES
	SLUICE_RATE=60 SLUICE_OUTAGES=$(OUTAGES) $(BIN)/pytest -q -s tests/chaos/test_outages.py
else ifdef BROKERS
	SLUICE_RATE=60 SLUICE_BROKERS=$(BROKERS) SLUICE_KILLS=$(or $(KILLS),10) $(BIN)/pytest -q -s tests/chaos/test_brokers.py
else
	SLUICE_RATE=60 SLUICE_LIMITS=$(LIMITS) SLUICE_KILLS=$(or $(KILLS),100) SLUICE_SEED=$(or $(SEED),1) $(BIN)/pytest -q -s tests/chaos/test_chaos.py
endif

lint: $(STAMP) ## Check style, types, import contracts, layout, and that the published schemas are the code's
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m schemas.documents --check
	$(BIN)/pytest -q tests/test_layout.py

format: $(STAMP) ## Put the code into the project's format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

kafka: $(STAMP) ## Start a real Kafka on 127.0.0.1:9092 (needs Java 17; Maven the first time)
	$(BIN)/sluice broker kafka --detach --data .kafka

kafka-stop: $(STAMP) ## Stop it; its data stay in .kafka
	$(BIN)/sluice broker stop --data .kafka

bench: $(STAMP) ## Measure each part beside its own baseline
	@set -e; for file in $$(grep -l '__main__' benchmarks/*.py | grep -v -e /paper -e /chain -e /compare -e /cold_start -e /adapters -e /floors -e /forecast); do \
	  name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m benchmarks.$$name; done

bench-compare: $(STAMP) ## Run a benchmark (BENCH=latency) on an older commit (REF=) and on these files, and print ratios
	$(BIN)/python -m benchmarks.compare $(or $(REF),HEAD~1) $(or $(BENCH),latency) $(ARGS)

paper: $(STAMP) ## Repeat the paper's experiments on the data in SLUICE_DATA or ../shared/data (ARGS="--only main --again")
	$(BIN)/python -m benchmarks.paper $(ARGS)

docs: $(STAMP) ## Build the documentation site into site/; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

schemas: $(STAMP) ## Write JSON Schemas, AsyncAPI document and message reference from the code
	$(BIN)/python -m schemas.documents

release: $(RELEASE_TOOLS) ## Build sdist and wheel into dist/, check both, and run the wheel in a fresh environment
	@version=$$($(BIN)/python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])'); \
	case $$version in \
	  *.dev*) echo "make: $$version is a development version: built and checked, not to be published" ;; \
	  *) grep -q "^## \[$$version\] - [0-9-]*$$" CHANGELOG.md || \
	    { echo "make: CHANGELOG.md has no section '## [$$version] - DATE'" >&2; exit 1; } ;; \
	esac
	rm -rf build dist
	$(BIN)/python -m build --outdir dist . >/dev/null
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python -m venv build/fresh
	build/fresh/bin/python -m pip install -q --disable-pip-version-check -c $(LOCK) dist/*.whl
	cd build/fresh && bin/sluice version

clean: ## Remove caches and build outputs; .venv and data stay
	rm -rf build dist site ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
