# Each command installs its own requirements; it needs Python 3.11 or later and the package index.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# The site generator has an environment of its own: only `make docs` installs it.
DOCS_BIN := .venv-docs/bin
DOCS_STAMP := .venv-docs/.installed
# So do the tools of the supply chain: only `make sbom` and `make audit` install them.
SUPPLY_BIN := .venv-supply/bin
SUPPLY_STAMP := .venv-supply/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo serve examples test test-fast test-cells check format docs bench bench-full guard soak chaos client-types sbom audit lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv with all dependencies at their locked versions

$(STAMP): pyproject.toml requirements/dev.lock requirements/installer.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Duly needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the locked dependencies into .venv (about 100 packages; this may take a few minutes)."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.lock
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m compileall -q app
	@touch $(STAMP)

demo: $(STAMP) ## Run a job from submission to result and print the path of its report
	@$(BIN)/duly demo

serve: $(STAMP) ## Start the service on http://127.0.0.1:8000 with the embedded database
	@$(BIN)/duly serve --hints

examples: $(STAMP) ## Run the worked examples in their short form, and say which ran
	@$(BIN)/python examples/run.py

test: $(STAMP) ## Run all tests on the embedded PostgreSQL 18, and on PostgreSQL 15 if installed
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3

test-fast: $(STAMP) ## Run the fast tests: those without a server of their own, and the life of a job
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --fast --numprocesses 3

test-cells: $(STAMP) ## Run the tests of the API and of the lifecycle once more, over four cells
	@TESTS_CELLS=4 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 tests/api tests/lifecycle

check: $(STAMP) ## Run all checks except the tests: format, lint, types, imports, migrations, networks, tenants in SQL, links, commits, Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.check_migrations
	$(BIN)/python -m tests.check_networks
	$(BIN)/python -m tests.check_sql_tenants
	$(BIN)/python -m tests.check_commits
	$(BIN)/python -m tests.check_links
	$(BIN)/hadolint Dockerfile
	@if docker compose version >/dev/null 2>&1; then DULY_API_KEY=any DULY_SECRET_KEYS=any docker compose config --quiet; else echo "docker compose is not installed; docker-compose.yml was not checked"; fi

format: $(STAMP) ## Format the code and fix lint errors
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) $(DOCS_STAMP) ## Build the documentation as a site in build/site/html, and check its links
	@$(BIN)/python -m tests.check_links
	@$(BIN)/python -m website.build build/site
	@$(DOCS_BIN)/zensical build --strict --config-file build/site/mkdocs.yml
	@$(BIN)/python -m website.check build/site/html
	@echo "read it: $(BIN)/python -m http.server --directory build/site/html 8001"

$(DOCS_STAMP): requirements/docs.lock $(STAMP)
	@echo "installing the site generator into .venv-docs"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-docs
	@$(BIN)/uv pip install --quiet --python $(DOCS_BIN)/python --require-hashes -r requirements/docs.lock
	@touch $(DOCS_STAMP)

client-types: $(STAMP) ## Write the types of the TypeScript client from the OpenAPI document (needs Node.js 20)
	@$(BIN)/python -m tests.typescript_types

sbom: $(SUPPLY_STAMP) ## Write the packages of the service as CycloneDX to build/sbom.json
	@mkdir -p build
	@$(SUPPLY_BIN)/cyclonedx-py requirements requirements/runtime.lock --pyproject pyproject.toml --output-reproducible -o build/sbom.json 2>/dev/null
	@echo "wrote build/sbom.json"

audit: $(STAMP) $(SUPPLY_STAMP) ## Look for known vulnerabilities of the packages of the service
	@$(BIN)/python -m tests.check_advisories $(SUPPLY_BIN)/pip-audit

$(SUPPLY_STAMP): requirements/supply.lock $(STAMP)
	@echo "installing the tools of the supply chain into .venv-supply"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-supply
	@$(BIN)/uv pip install --quiet --python $(SUPPLY_BIN)/python --require-hashes -r requirements/supply.lock
	@touch $(SUPPLY_STAMP)

bench: $(STAMP) ## Run the benchmarks (about eight minutes) and update docs/internals/performance.md
	@$(BIN)/python -m benchmarks --page docs/internals/performance.md

bench-full: $(STAMP) ## Run the benchmarks with the largest sizes and all peers (about an hour)
	@$(BIN)/python -m benchmarks --full --page docs/internals/performance.md

guard: $(STAMP) ## Compare two ratios with the recorded ones (half a minute), to detect a slowdown
	@$(BIN)/python -m benchmarks.guard

SOAK_MINUTES ?= 30
soak: $(STAMP) ## Run 1,000 jobs per second for SOAK_MINUTES (default: 30), to detect growth
	@$(BIN)/python -m benchmarks --rows SOAK --minutes $(SOAK_MINUTES) --page docs/internals/performance.md

CHAOS_MINUTES ?= 4
CHAOS_BUGS ?= no-token-check outbox-skipped notify-before-commit tail-by-id
chaos: $(STAMP) ## Find seeded bugs, then run several services under faults for CHAOS_MINUTES (default: 4): nothing is lost
	@for bug in $(CHAOS_BUGS); do $(BIN)/python -m tests.chaos --bug $$bug --minutes 0.2 || exit 1; done
	@$(BIN)/python -m tests.chaos --minutes $(CHAOS_MINUTES)

lock: $(STAMP) ## Upgrade the dependencies and write requirements/*.lock
	$(BIN)/uv pip compile pyproject.toml --upgrade --extra server --generate-hashes --universal --quiet --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements/runtime.lock
	$(BIN)/uv pip compile pyproject.toml --upgrade --extra demo --extra otel --group dev --generate-hashes --universal --quiet --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements/dev.lock
	$(BIN)/uv pip compile --group pyproject.toml:docs --upgrade --generate-hashes --universal --quiet --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements/docs.lock
	$(BIN)/uv pip compile --group pyproject.toml:supply --upgrade --generate-hashes --universal --quiet --no-emit-index-url --no-annotate --custom-compile-command "make lock" -o requirements/supply.lock

clean: ## Remove .venv, .venv-docs, .venv-supply and caches
	rm -rf .venv .venv-docs .venv-supply build .mypy_cache .ruff_cache .pytest_cache .hypothesis dist demo-output
