# syntax=docker/dockerfile:1
# The worker's image. torch's wheels bring CUDA with them, so a slim base is enough.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm
FROM ${BASE_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# Triton and inductor compile at run time and need a C and a C++ compiler.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
# Torch rounds pinned host memory up to powers of two, unless told otherwise before its first use: what
# waits there would take up to half as much again.
ENV PYTHONUNBUFFERED=1 \
    PYTORCH_ALLOC_CONF=pinned_max_round_threshold_mb:1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# In a layer of its own: it changes rarely and is most of the image.
COPY requirements/runtime.txt requirements/gpu.txt requirements/
RUN pip install -r requirements/gpu.txt
# Packages of compiled blocks (COMPILE_CACHE_DIR) are built with CUDA's headers, which came with the
# wheels, and linked to the driver's library, which comes with the container and without this name.
ENV CUDA_HOME=/usr/local/lib/python3.11/site-packages/nvidia/cu13
RUN ln -s /usr/lib/x86_64-linux-gnu/libcuda.so.1 /usr/local/lib/libcuda.so

COPY pyproject.toml README.md LICENSE ./
COPY src/flux_worker src/flux_worker
RUN pip install --no-deps . && rm -r build src
COPY builder/__init__.py builder/bake_weights.py builder/
# python -m benchmarks.gpu and benchmarks.lora measure this card, without weights.
COPY benchmarks/__init__.py benchmarks/clock.py benchmarks/full_size.py benchmarks/gpu.py \
     benchmarks/kernels.py benchmarks/lora.py benchmarks/rows.py benchmarks/table.py benchmarks/
COPY handler.py test_input.json ./

# BAKE=schnell, dev, krea-dev or any owner/name, each also @revision, puts these weights into the image;
# by default none are in it.
# A gated repository needs --secret id=hf_token,src=FILE, which leaves no trace in the layers.
ARG BAKE=""
RUN --mount=type=secret,id=hf_token \
    if [ -n "${BAKE}" ]; then \
      HF_TOKEN="$(cat /run/secrets/hf_token 2>/dev/null || true)" python -m builder.bake_weights "${BAKE}"; \
    fi

CMD ["python", "handler.py"]
