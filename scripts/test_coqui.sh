#!/usr/bin/env bash
# The tests of engines/coqui, in an environment of their own: torch takes 1.8 GB, which the default install is spared.
# The environment lies outside the checkout, is named by what the lock holds and is made once.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${COQUI_PYTHON:-python3.11}
root=${XDG_CACHE_HOME:-$HOME/.cache}/antiphon
environment=$root/coqui-env-$(sha256sum requirements-coqui.lock | cut -c 1-16)
if [[ ! -e $environment/complete ]]; then
  echo "Making $environment"
  mkdir -p "$root"
  rm -rf "$environment"
  "$python" -m venv "$environment"
  # torchaudio is for another torch; that is all right, for it is used only as below.
  "$environment/bin/python" -m pip --disable-pip-version-check --quiet --quiet install --no-deps --require-hashes \
    -r requirements-coqui.lock
  # Its compiled parts want CUDA and the torch they were built for. Coqui uses those written in Python.
  rm -rf "$environment"/lib/python3.11/site-packages/torchaudio/lib
  touch "$environment/complete"
fi
run=("$environment/bin/python" -m coverage)
"${run[@]}" run --rcfile=tests/coqui/coverage.ini -m pytest tests/coqui tests/engines/coqui -o filterwarnings=default "$@"
"${run[@]}" report --rcfile=tests/coqui/coverage.ini
