# syntax=docker/dockerfile:1
# hadolint global ignore=DL3059
# The worker's image. torch's wheels bring CUDA with them, so a slim base is enough.
# What changes rarely stands first: a change in the source leaves every layer before it as it was.
ARG BASE_IMAGE=python:3.11.14-slim-bookworm

# What downloads weights, and nothing else of the source, or each change would download them again. It
# is in no layer of the image.
FROM ${BASE_IMAGE} AS tools
WORKDIR /tools
COPY requirements/image-bake.txt ./
RUN pip install --no-cache-dir --require-hashes --target /tools -r image-bake.txt
COPY builder/__init__.py builder/
COPY builder/bake builder/bake
COPY src/flux_worker/baked.py src/flux_worker/errors.py src/flux_worker/logs.py flux_worker/
COPY src/flux_worker/contract/__init__.py src/flux_worker/contract/catalog.py \
     src/flux_worker/contract/formats.py flux_worker/contract/
COPY src/flux_worker/weights/__init__.py src/flux_worker/weights/bars.py \
     src/flux_worker/weights/completion.py src/flux_worker/weights/hub_cache.py \
     src/flux_worker/weights/hub_errors.py src/flux_worker/weights/kind.py \
     src/flux_worker/weights/layout.py src/flux_worker/weights/lease.py \
     src/flux_worker/weights/remote.py flux_worker/weights/

FROM ${BASE_IMAGE} AS weights
# BAKE=schnell, dev, krea-dev or any owner/name puts these weights into the image, which then serves
# them by default; BAKE_REVISION pins them. Gated ones need --secret id=hf_token,src=FILE, which leaves
# no trace. Several layers are fetched side by side, and some registries take none above 10 GB.
ARG BAKE
ARG BAKE_REVISION
ARG BAKE_MODEL
ARG HF_ENDPOINT
ARG HF_HOME=/mnt/huggingface
ARG HF_XET_CHUNK_CACHE_SIZE_BYTES=0
WORKDIR /tools
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=tmpfs,target=/mnt \
    --mount=type=secret,id=hf_token python -B -m builder.bake rest
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=tmpfs,target=/mnt \
    --mount=type=secret,id=hf_token python -B -m builder.bake vae
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=tmpfs,target=/mnt \
    --mount=type=secret,id=hf_token python -B -m builder.bake text_encoder
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=tmpfs,target=/mnt \
    --mount=type=secret,id=hf_token python -B -m builder.bake text_encoder_2
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=tmpfs,target=/mnt \
    --mount=type=secret,id=hf_token python -B -m builder.bake transformer 1
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=tmpfs,target=/mnt \
    --mount=type=secret,id=hf_token python -B -m builder.bake transformer 2
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=tmpfs,target=/mnt \
    --mount=type=secret,id=hf_token python -B -m builder.bake transformer 3+

FROM weights

# Triton and inductor compile at run time and need a C and a C++ compiler; strip comes with them. The
# kernel doesn't end a container's first process by a signal that this one has no handler for yet.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev tini \
    && rm -rf /var/lib/apt/lists/*

# Torch rounds pinned host memory up to powers of two, unless told otherwise before its first use: what
# waits there would take up to half as much again. Caches are in one folder, for any user.
ENV PYTHONUNBUFFERED=1 \
    PYTORCH_ALLOC_CONF=pinned_max_round_threshold_mb:1 \
    CUDA_HOME=/opt/cuda \
    XDG_CACHE_HOME=/var/cache/flux-worker \
    HF_HOME=/var/cache/flux-worker/huggingface \
    TRITON_CACHE_DIR=/var/cache/flux-worker/triton \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/flux-worker/inductor \
    CUDA_CACHE_PATH=/var/cache/flux-worker/cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# In a layer of its own, which is most of the image. What is removed or stripped is never loaded:
# profilers, what serves several GPUs at once, what is for test programs, and debug information.
# Packages of compiled blocks (COMPILE_CACHE_DIR) are built with CUDA's headers, which came with the
# wheels, and linked to the driver's library, which comes with the container and without this name.
WORKDIR /app
COPY requirements/image-torch.txt requirements/
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/image-torch.txt \
    && packages="$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && ln -s "${packages}/nvidia/cu13" /opt/cuda && test -f /opt/cuda/include/cuda.h \
    && ln -s "${packages}/triton" /tmp/triton \
    && rm -r /opt/cuda/lib/libcusolverMg.so.* /opt/cuda/lib/libnvrtc*.alt.so.* \
             /opt/cuda/lib/libnvperf_* /tmp/triton/backends/nvidia/lib/cupti \
             /tmp/triton/_C/libproton.so /tmp/triton/instrumentation /tmp/triton/plugins \
    && strip --strip-unneeded /tmp/triton/_C/libtriton.so && rm /tmp/triton \
    && ln -s /usr/lib/x86_64-linux-gnu/libcuda.so.1 /usr/local/lib/libcuda.so \
    && install -d -m 1777 /var/cache/flux-worker
COPY requirements/image.txt requirements/
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/image.txt

# A model of FLUX's classes in 9 MB, to try the image without weights.
COPY models/demo models/demo
COPY src/flux_worker flux_worker
# python -m benchmarks.gpu and benchmarks.lora measure this card, without weights.
# python -m builder.check_libraries tells whether the packages' libraries do their work on it.
COPY builder/__init__.py builder/check_libraries.py builder/
COPY benchmarks/__init__.py benchmarks/clock.py benchmarks/full_size.py benchmarks/gpu.py \
     benchmarks/kernels.py benchmarks/lora.py benchmarks/rows.py benchmarks/table.py benchmarks/
COPY LICENSE handler.py test_input.json ./
RUN python -m compileall -q .

LABEL org.opencontainers.image.title="flux-worker" \
      org.opencontainers.image.description="FLUX.1 as a Runpod Serverless worker" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/you/flux-worker"
ENTRYPOINT ["tini", "--"]
CMD ["python", "handler.py"]
