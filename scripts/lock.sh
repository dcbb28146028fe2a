#!/usr/bin/env bash
# Writes the lock files: versions and hashes, for every platform and Python >= 3.11, with no index addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
options=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet)
compile() { uv pip compile pyproject.toml "${options[@]}" "$@"; }
compile --extra piper --group build --output-file requirements.lock
compile --extra piper --extra bench --group build --constraint requirements.lock --output-file requirements-bench.lock
compile --extra piper --extra kokoro-ja --extra kokoro-zh --extra bench --extra evals --extra otel --group build --group dev \
  --constraint requirements-bench.lock --output-file requirements-dev.lock

# The environment of `make test-coqui`, where torch is a CPU build: for x86-64 Linux and Python 3.11 only.
# TORCH_CPU_WHEELS: folder or page of torch's CPU wheels.
torch_options=()
if [[ -n "${TORCH_CPU_WHEELS:-}" ]]; then torch_options+=(--find-links "$TORCH_CPU_WHEELS" --no-emit-find-links); fi
uv pip compile pyproject.toml tests/coqui/requirements.in "${options[@]:1}" --python-platform x86_64-manylinux_2_28 \
  --extra coqui --constraint requirements-dev.lock --no-annotate "${torch_options[@]}" --output-file requirements-coqui.lock

# The environment of `make test-clients`: orchestrators that speak to a server, with the same OpenAI client as the suite.
uv pip compile tests/clients/requirements.in "${options[@]}" --constraint <(grep -o '^openai==[^ ]*' requirements-dev.lock) --no-annotate \
  --output-file requirements-clients.lock

# With --peers, also the peers of the benchmarks, each in an environment of its own.
if [[ "${1:-}" == --peers ]]; then
  peer_options=("${options[@]}" --no-annotate "${torch_options[@]}")
  for wanted in benchmarks/peers/*.in; do
    overrides=${wanted%.in}.overrides
    uv pip compile "$wanted" "${peer_options[@]}" $([[ -e $overrides ]] && echo "--override $overrides") \
      --output-file "${wanted%.in}.lock"
  done
fi
