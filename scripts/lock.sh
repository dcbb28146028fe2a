#!/usr/bin/env bash
# Writes both lock files: versions and hashes, for every platform and Python >= 3.11, with no index addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
options=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet)
compile() { uv pip compile pyproject.toml "${options[@]}" "$@"; }
compile --extra piper --group build --output-file requirements.lock
compile --extra piper --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock
