# Everything a newcomer needs. Each target sets up what it misses; `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Tests start Python hundreds of times: without compiled files each start takes longer.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-long parity lint demo bench lock clean peers

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP)  ## install what is needed and serve on 127.0.0.1:9292
	$(BIN)/glint serve --config config.yaml

test: $(STAMP) peers  ## install what is needed (servers too) and run all tests
	$(BIN)/python -m pytest -m "not long" -n 4 --dist worksteal

test-long: $(STAMP) peers  ## the long forms: kill sweeps, churn, big images
	$(BIN)/python -m pytest -m long -n 2 --dist worksteal --timeout 3600

parity: $(STAMP) peers  ## ask a Glance and a Glint the same, and report what they answer differently (ONLY=, VARIANTS=)
	$(BIN)/python -m tests.parity.live $(VARIANTS) $(if $(ONLY),--only "$(ONLY)")

lint: $(STAMP)  ## style, types and the arrows between folders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: $(STAMP)  ## a cold and a hot delivery of 1 GiB, with digests and speeds
	$(BIN)/python -m bench.demo

bench: $(STAMP) peers  ## measure side by side with nginx, Varnish and Glance, and write the report (20 minutes)
	$(BIN)/python -m bench

peers: $(STAMP)
	$(BIN)/python -m tests.peers.install

lock: $(STAMP)  ## pin the newest dependencies that pyproject.toml admits
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	    --extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	    -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:  ## remove the environment and everything served or built
	rm -rf $(VENV) var build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
