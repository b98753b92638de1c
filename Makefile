PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo serve serve-sdk test soak mutants lint bench lock format

demo: $(VENV)/ready  ## generate one image end to end; PROMPT="…" to choose it
	@$(RUN) -m local_platform.demo

serve: $(VENV)/ready  ## Runpod's queue on 127.0.0.1:8000, with real workers; PORT, MODELS, WORKERS
	@$(RUN) -m local_platform.serve

serve-sdk: $(VENV)/ready  ## the SDK's own development API there instead
	@$(RUN) -m local_platform.serve_sdk

test: $(VENV)/ready  ## all tests; ARGS="…" goes to pytest
	$(RUN) -m pytest $(ARGS)

soak: $(VENV)/ready  ## the tests that take long
	$(RUN) -m pytest -m soak --timeout 3600 $(ARGS)

mutants: $(VENV)/mutation  ## small faults that no test notices; ARGS="--seed 2 contract/request"
	$(RUN) -m builder.mutants $(ARGS)

lint: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/hadolint Dockerfile

format: $(VENV)/ready
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(VENV)/ready  ## measure, on this machine, beside each bar; takes a quarter of an hour and 5 GB
	$(RUN) -m benchmarks.overhead
	$(RUN) -m benchmarks.in_flight
	$(RUN) -m benchmarks.encoding
	$(RUN) -m benchmarks.first_image
	$(RUN) -m benchmarks.loading

lock: $(VENV)/ready  ## pin the versions that pyproject.toml asks for
	$(RUN) -m builder.lock

$(VENV)/ready: requirements/runtime.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/mutation: requirements/mutation.txt $(VENV)/ready
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements/mutation.txt
	touch $@
