#!/usr/bin/env bash
# The whole suite with branch coverage, servers in processes of their own included, then the coverage gate. One process
# has the tests with models and servers, one after another (tests/conftest.py); beside it others have the rest.
# pytest's closing line comes last, whatever the gate says.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
.venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup --durations 20 --cov --cov-report= 2>&1 | tee "$log" || status=$?
.venv/bin/python scripts/coverage_gate.py || status=1
tail -n 1 "$log"
exit "$status"
