#!/usr/bin/env bash
# Generates clients from the documents with other people's generators, and uses each for a conversation with a running
# server: what docs/SDKS.md promises. The generators are pinned in requirements.txt and rust/Cargo.lock, and installed
# under target/sdks.
#
#   tests/sdks/run.sh [python|rust]      both without a name; Rust takes minutes, as all of it is compiled
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
server=$(realpath "${CARGO_TARGET_DIR:-$root/target}/debug/agent-world")
cache=$root/target/sdks
mkdir -p "$cache"
. "$root/tests/serve.sh"

pinned=$(sha256sum <"$here/requirements.txt")
if [[ ! -f $cache/installed || $(cat "$cache/installed") != "$pinned" ]]; then
  python3 -m venv --clear "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$here/requirements.txt"
  echo "$pinned" >"$cache/installed"
fi

work=$(mktemp -d)
pid=
cleanup() {
  [[ -z $pid ]] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }
  rm -rf "$work"
}
trap cleanup EXIT

serve "$server" "$work/data"

export PATH=$cache/venv/bin:$PATH
generated=$root/generated
cp "$here/python.py" "$work/"

if [[ ${1:-python} == python ]]; then
  echo '== Python: openapi-python-client on openapi-3.0.json, datamodel-code-generator on schema-bundle.json'
  # The two routes whose body is NDJSON are left out by the generator, which says so.
  openapi-python-client generate --path "$generated/openapi-3.0.json" --meta none --output-path "$work/agent_world_http" \
    >"$work/http.txt" 2>&1 || { cat "$work/http.txt"; exit 1; }
  datamodel-codegen --input "$generated/schema-bundle.json" --input-file-type jsonschema --formatters builtin \
    --output-model-type pydantic_v2.BaseModel --target-python-version 3.11 --output "$work/agent_world_messages.py"
  python "$work/python.py" "$url"
fi

if [[ ${1:-rust} == rust ]]; then
  echo '== Rust: progenitor on openapi-3.0.json'
  CARGO_TARGET_DIR=$cache/target cargo run --quiet --locked --manifest-path "$here/rust/Cargo.toml" -- "$url"
fi
