PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo serve platform test lint bench lock format

demo: $(VENV)/ready  ## generate one image end to end; PROMPT="…" to choose it
	@$(RUN) -m local_platform.demo

serve: $(VENV)/ready  ## the SDK's development API on 127.0.0.1:8000; PORT=… to choose it
	@$(RUN) -m local_platform.serve

platform: $(VENV)/ready  ## the platform's queue instead: /run, /status, /cancel, real workers
	@$(RUN) -m local_platform.serve_platform

test: $(VENV)/ready  ## all tests; ARGS="…" goes to pytest
	$(RUN) -m pytest $(ARGS)

lint: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/hadolint Dockerfile

format: $(VENV)/ready
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(VENV)/ready  ## measure, on this machine
	$(RUN) -m benchmarks.encoding

lock: $(VENV)/ready  ## pin the versions that pyproject.toml asks for
	$(RUN) -m builder.lock

$(VENV)/ready: requirements/runtime.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
