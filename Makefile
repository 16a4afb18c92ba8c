# `make help` says what there is. Every target installs what it needs first.
.DEFAULT_GOAL := help
BIN := .venv/bin
# Two halves, each on servers of its own: most of a test's time is waiting. A file stays together, for its workers.
IN_PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
SLOWEST := --durations 20 --durations-min 1

.PHONY: help run test test-embedded test-full test-matrix simulate mutate check guarantees bench bench-variants docs demo dist stop clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start the whole platform on this machine: servers, web, workers; EMBEDDED=1 with PostgreSQL of a wheel alone
	@scripts/bootstrap
	@scripts/run $(if $(EMBEDDED),--embedded)

test: ## Run the default tests (a few minutes), and name the slowest
	@scripts/bootstrap --dev
	$(BIN)/pytest $(IN_PARALLEL) $(SLOWEST) -m "not slow"

test-embedded: ## Run the acceptance tests with PostgreSQL of a wheel alone: no RabbitMQ, no Redis, any user
	@scripts/bootstrap --dev
	DRINKGROUP_TEST_EMBEDDED=1 $(BIN)/pytest $(SLOWEST) tests/acceptance

test-full: ## Run every test in slices; go on where it stopped: make test-full SLICE=3/8, compressed or pooled (only this), KEEP=1, ANEW=1
	@scripts/bootstrap --dev
	$(BIN)/python -m tests.full $(if $(SLICE),--slice $(SLICE)) $(if $(KEEP),--keep) $(if $(ANEW),--anew) \
		$(IN_PARALLEL) $(SLOWEST)

test-matrix: ## Run tests with other versions, in an environment each; goes on where it stopped: ON=debian13, PART=tests/unit, ANEW=1
	@scripts/bootstrap --dev
	$(BIN)/python -m tests.versions $(if $(ON),--environment $(ON)) $(if $(PART),--part $(PART)) $(if $(ANEW),--anew)

simulate: ## Play N schedules of faults on all cores, from SEED on: make simulate N=100000 SEED=1
	@scripts/bootstrap --dev
	@$(BIN)/python -m tests.simulator $(or $(N),10000) $(if $(SEED),--first $(SEED))

mutate: ## Change one thing at a time in the engine; tests must notice: make mutate MODULE=sagas/decisions/plan.py MINUTES=20
	@scripts/bootstrap --dev
	@$(BIN)/python -m venv .run/mutation-venv
	@.run/mutation-venv/bin/pip install --quiet -c constraints.txt -r requirements-mutation.txt
	@.run/mutation-venv/bin/python -m tests.mutation $(or $(MODULE),sagas/decisions/plan.py) --minutes $(or $(MINUTES),20)

check: ## Check style, types, import layers and Django's own checks
	@scripts/bootstrap --dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

guarantees: ## Play the fault matrix of orders, and write its table
	@scripts/bootstrap --dev
	$(BIN)/pytest tests/integration/matrices/test_unwinding.py -k test_place_order
	DJANGO_SETTINGS_MODULE=tests.static_settings $(BIN)/python -c \
		"import django; django.setup(); from tests.docs import matrix_table; matrix_table.write()"

bench: ## Measure throughput, latency and cost; PEERS=1 with other engines, ARGS for more (--help)
	@scripts/bootstrap
	$(BIN)/python -m bench $(if $(PEERS),--peers) $(ARGS)

bench-variants: ## Compare the four variants: two carriers, with compensation and time-outs
	@scripts/bootstrap
	$(BIN)/python -m bench --variants

docs: ## Build the site into site/: tutorial, how-to, reference; every link is checked
	@scripts/bootstrap --dev
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs site

demo: ## Watch orders succeed, fail and be undone
	@scripts/bootstrap
	@$(BIN)/python -m demo

dist: ## Build the package django-sagas into dist/, a wheel and an sdist, and check them
	@scripts/bootstrap --dev
	@$(BIN)/python -m venv .run/release-venv
	@.run/release-venv/bin/pip install --quiet -r requirements-release.txt
	rm -rf dist
	.run/release-venv/bin/python -m build --no-isolation
	.run/release-venv/bin/twine check --strict dist/*
	.run/release-venv/bin/check-wheel-contents dist/*.whl

stop: ## Stop what `make run` started; data is kept
	@if [ -x scripts/run ]; then scripts/run --stop; fi
	@scripts/services stop

clean: stop ## Stop everything and delete the data, .venv and caches
	@for servers in .run/services .run/test-*; do \
		if [ -d "$$servers" ]; then scripts/services --dir "$$servers" destroy; fi; \
	done
	rm -rf .run .venv dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
