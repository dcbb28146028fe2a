# Two images: `docker build --target cpu --tag antiphon .`, and the same with cuda.
# Models are not in the image. They lie in the volume /models:
#   docker run --rm -v antiphon-models:/models antiphon models pull --default
#   docker run --rm -v antiphon-data:/data antiphon keys create first
#   docker run -p 127.0.0.1:8080:8080 -v antiphon-models:/models -v antiphon-data:/data antiphon

FROM python:3.12-slim-bookworm AS cpu-build
WORKDIR /build
RUN python -m venv /opt/antiphon
COPY requirements.lock ./
RUN /opt/antiphon/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas ./schemas
COPY engines ./engines
COPY session ./session
COPY tools ./tools
COPY server ./server
COPY evals ./evals
COPY examples ./examples
RUN /opt/antiphon/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/antiphon/bin/python -m pip install --no-cache-dir --no-deps --no-index --find-links /dist antiphon

# CTranslate2 wants CUDA 12 with cuDNN 9. The ONNX models (voice activity, end of turn, speech) stay on the CPU.
FROM nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04 AS cuda-base
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*

FROM cuda-base AS cuda-build
RUN python3 -m venv /opt/antiphon
COPY requirements.lock ./
RUN /opt/antiphon/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY --from=cpu-build /dist /dist
RUN /opt/antiphon/bin/python -m pip install --no-cache-dir --no-deps --no-index --find-links /dist antiphon

FROM cuda-base AS cuda
COPY --from=cuda-build /opt/antiphon /opt/antiphon
RUN groupadd --gid 10001 antiphon \
 && useradd --uid 10001 --gid antiphon --create-home antiphon \
 && install --directory --owner=antiphon --group=antiphon /models /data
ENV PATH=/opt/antiphon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ANTIPHON_MODELS_DIR=/models \
    ANTIPHON_STORE_PATH=/data/sessions.db \
    ANTIPHON_AUTH_KEYS_FILE=/data/keys.json \
    ANTIPHON_LOG_FORMAT=json \
    ANTIPHON_ENGINE_DEVICE=auto
USER 10001:10001
VOLUME ["/models", "/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["antiphon"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]

# The last stage is what `docker build .` makes.
FROM python:3.12-slim-bookworm AS cpu
COPY --from=cpu-build /opt/antiphon /opt/antiphon
RUN groupadd --gid 10001 antiphon \
 && useradd --uid 10001 --gid antiphon --create-home antiphon \
 && install --directory --owner=antiphon --group=antiphon /models /data
ENV PATH=/opt/antiphon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ANTIPHON_MODELS_DIR=/models \
    ANTIPHON_STORE_PATH=/data/sessions.db \
    ANTIPHON_AUTH_KEYS_FILE=/data/keys.json \
    ANTIPHON_LOG_FORMAT=json \
    ANTIPHON_ENGINE_DEVICE=cpu
USER 10001:10001
VOLUME ["/models", "/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["antiphon"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
