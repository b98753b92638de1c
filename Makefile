PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
RUN := $(VENV)/bin/python
# Gradio and the worker need different versions of the same packages.
PLAYGROUND := $(VENV)-playground
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
export PLAYGROUND_PYTHON = $(abspath $(PLAYGROUND)/bin/python)

.PHONY: help demo playground serve serve-sdk test test-quick image image-test soak mutants lint bench lock format

help:  ## this list
	@echo "Each target sets up what it needs, in $(VENV) or $(PLAYGROUND)."
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/ready  ## generate four images end to end; PROMPT="…" for one of your own
	@$(RUN) -m local_platform.commands.demo

# An endpoint elsewhere needs no worker here.
playground: $(PLAYGROUND)/ready $(if $(ENDPOINT_URL),,$(VENV)/ready)  ## a page in the browser to try the worker
	@WORKER_PYTHON=$(abspath $(RUN)) $(PLAYGROUND_PYTHON) -m playground

serve: $(VENV)/ready  ## Runpod's queue on 127.0.0.1:8000, with real workers; PORT, MODELS, WORKERS
	@$(RUN) -m local_platform.commands.serve

serve-sdk: $(VENV)/ready  ## the SDK's own development API there instead
	@$(RUN) -m local_platform.commands.serve_sdk

# Three at once on two cores, each with one thread: while some wait for a server, others compute.
test: $(VENV)/ready $(PLAYGROUND)/ready  ## all tests; ARGS="…" goes to pytest
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-quick: $(VENV)/ready  ## the tests that need no model, no server and no program
	$(RUN) -m pytest -n 3 -m "not soak and not real" $(ARGS)

image:  ## the worker's image, by Docker, Podman or Buildah; ARGS="--tag NAME --build-arg=BAKE=schnell"
	@$(PYTHON) -m builder.image $(ARGS)

image-test: $(VENV)/ready  ## build it, and run it as Runpod does; as root on Debian Podman is installed if need be
	$(RUN) -m pytest -m image --timeout 3600 $(ARGS) tests/image

soak: $(VENV)/ready  ## the tests that take long
	$(RUN) -m pytest -m soak --timeout 3600 $(ARGS)

mutants: $(VENV)/mutation  ## small faults that no test notices; ARGS="--seed 2 contract/request"
	$(RUN) -m builder.mutants $(ARGS)

lint: $(VENV)/ready  ## what CI checks before the tests
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/hadolint Dockerfile

format: $(VENV)/ready  ## as ruff has it
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(VENV)/ready  ## measure, on this machine, beside each bar; takes half an hour and 5 GB
	$(RUN) -m benchmarks.overhead
	$(RUN) -m benchmarks.throughput
	$(RUN) -m benchmarks.encoding
	$(RUN) -m benchmarks.first_image
	$(RUN) -m benchmarks.loading
	$(RUN) -m benchmarks.lora

lock: $(VENV)/ready  ## pin the versions that pyproject.toml asks for
	$(RUN) -m builder.lock

$(VENV)/ready: requirements/runtime.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) $(PIP_INSTALL) -r requirements/dev.txt
	$(RUN) $(PIP_INSTALL) --no-deps --editable .
	touch $@

$(PLAYGROUND)/ready: requirements/playground.txt pyproject.toml
	$(PYTHON) -m venv $(PLAYGROUND)
	$(PLAYGROUND_PYTHON) $(PIP_INSTALL) -r requirements/playground.txt
	$(PLAYGROUND_PYTHON) $(PIP_INSTALL) --no-deps --editable .
	touch $@

$(VENV)/mutation: requirements/mutation.txt $(VENV)/ready
	$(RUN) $(PIP_INSTALL) -r requirements/mutation.txt
	touch $@
