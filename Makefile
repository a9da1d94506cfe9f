# The gateway's two commands are `make run` and `make test`; each sets up what it needs (scripts/setup.sh).
# `make` alone lists the rest. Variables: PYTHON, PYTEST_ARGS, PYTEST_WORKERS, RUN_ARGS, BENCH, BENCH_ARGS.

PYTEST_WORKERS ?= 3
PYTEST_ARGS ?=
RUN_ARGS ?=
BENCH ?= relay
BENCH_ARGS ?=

# Libraries that were unpacked for this checkout alone, where apt-get was not allowed to install them.
WITH_LIBRARIES = if [ -f .vendor/env.sh ]; then . ./.vendor/env.sh; fi;
BIN = .venv/bin
LOCK = uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: run test lint test-unit bench gallery screens mail lock clean help setup-run setup-test

run: setup-run ## Start the gateway on loopback with a sample tenant and a small outside world
	@$(WITH_LIBRARIES) exec $(BIN)/gateway run $(RUN_ARGS)

test: setup-test lint ## Check style and types, then run all tests
	@$(WITH_LIBRARIES) $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

lint: setup-run ## Check style and types only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test-unit: setup-run ## Run the unit tests only: no socket, no database
	@$(WITH_LIBRARIES) $(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

bench: setup-test ## Run one benchmark beside its peer: make bench BENCH=relay
	@$(WITH_LIBRARIES) $(BIN)/python -m bench.$(BENCH) $(BENCH_ARGS)

screens: setup-test ## Take the pictures of the inbox's pages again: docs/screens
	@GATEWAY_SCREENS=docs/screens $(BIN)/python -m pytest -q -n 0 \
		tests/integration/test_web_access.py tests/integration/test_web_pages.py \
		tests/integration/test_web_documents_chromium.py tests/integration/test_operator_pages.py \
		tests/integration/test_account_chromium.py tests/integration/test_runs_chromium.py

gallery: setup-test ## Write every mail and PDF in every language as pictures: gallery/index.html
	@$(WITH_LIBRARIES) $(BIN)/python scripts/gallery.py

mail: setup-test ## Compile the mail's HTML from its MJML: gateway/templates/email/mail.html
	@$(WITH_LIBRARIES) $(BIN)/python scripts/mjml.py

lock: setup-run ## Resolve the dependencies anew into the lock files
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@$(LOCK) pyproject.toml --all-extras --group test --group lint --upgrade --output-file requirements.lock
	@printf 'hatchling>=1.27\neditables>=0.5\nsetuptools>=80\n' | \
		$(LOCK) - --constraints requirements.lock --upgrade --output-file requirements-build.lock

clean: ## Remove what make built: .venv, .vendor, caches (never data)
	@rm -rf .venv .vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	@find gateway tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

setup-run:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test
