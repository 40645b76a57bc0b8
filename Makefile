# `make demo` and `make test` make the environment first if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two processes, one thread each; tests of a file stay together and share their fixtures, the longest files first.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help install demo test fast test-slow trials test-ray sweep lint browser postgres benchmark docs clean

help:
	@echo "make demo       run the quickstart campaign (electron acceptors)"
	@echo "make test       lint, types, layers, fast tests"
	@echo "make test-slow  statistical and end-to-end gates"
	@echo "make test-ray   campaigns on workers of Ray, which it installs (70 MB)"
	@echo "make trials     published claims that \`discover reproduce\` tries too, at their length"
	@echo "make sweep      damages every file of a workspace in turn (half an hour or more)"
	@echo "make benchmark  measure the quickstart: time, memory, cost of the flow"
	@echo "make docs       build the documentation site into site/"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/discover run campaigns/electron_acceptors.yaml

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Side by side: the type checker needs one core for a minute or two, while the other would be idle.
test: $(STAMP) browser postgres
	$(MAKE) --no-print-directory -j2 lint fast

fast: $(STAMP)
	$(PYTEST) -m "not slow and not sweep and not ray and not trial"

test-slow: $(STAMP) browser postgres
	$(PYTEST) -m slow

trials: $(STAMP)
	$(PYTEST) -m trial

test-ray: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(PYTEST) -m ray

sweep: $(STAMP)
	$(PYTEST) -m sweep

# The tests that look at pages drive Debian's Chromium.
browser:
	@command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
	  { echo "The page tests need Chromium: apt-get install chromium" >&2; exit 1; }

# The tests of the ledger on PostgreSQL start a server of Debian's in a temporary folder.
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null; } || \
	  { echo "The tests on PostgreSQL need its server: apt-get install postgresql" >&2; exit 1; }

benchmark: $(STAMP)
	$(BIN)/python benchmarks/quickstart.py

docs: $(STAMP)
	OMP_NUM_THREADS=1 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "To read it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

clean:
	rm -rf site .discover .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
