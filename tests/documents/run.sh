#!/usr/bin/env bash
# Holds the documents in generated/ to the tools that people will use on them: any finding, down to a hint, fails.
# The tools are pinned in package-lock.json and requirements.txt, and installed into target/documents.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=$root/target/documents
generated=$root/generated
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true NO_UPDATE_NOTIFIER=1 NODE_NO_WARNINGS=1

# Installs again only when what is pinned has changed.
install() {
  mkdir -p "$cache"
  local pinned
  pinned=$(cat "$here/package-lock.json" "$here/requirements.txt" | sha256sum)
  [[ -f $cache/installed && $(cat "$cache/installed") == "$pinned" ]] && return
  cp "$here/package.json" "$here/package-lock.json" "$cache/"
  npm ci --prefix "$cache" --ignore-scripts --no-fund --no-audit --loglevel=error
  python3 -m venv --clear "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  echo "$pinned" >"$cache/installed"
}

failed=0
# Runs one tool on one document; its output is shown only when it has something to say.
check() {
  local name=$1 begin=$SECONDS output
  shift
  if output=$("$@" 2>&1); then
    printf 'ok    %-52s %3ss\n' "$name" $((SECONDS - begin))
  else
    failed=1
    printf 'FAIL  %-52s %3ss\n%s\n' "$name" $((SECONDS - begin)) "$output"
  fi
}

# The tools for one document each; their order is that of the report.
redocly() { "$bin/redocly" lint --extends=recommended-strict "$1"; }
specification() { "$cache/venv/bin/openapi-spec-validator" --errors all "$1"; }
spectral() { "$bin/spectral" lint --ruleset "$cache/spectral.yaml" --fail-severity hint "$1"; }
parser() { node "$cache/asyncapi.mjs" "$1"; }
ajv() { node "$cache/schemas.mjs" "$1"; }

# Each tool must refuse a document with one mistake in it, so that no check passes by accident.
refuses() {
  local tool=$1 document=$2 mistake=$3 copy
  copy=$cache/broken/$tool-$document
  sed "$mistake" "$generated/$document" >"$copy"
  if cmp -s "$copy" "$generated/$document" || "$tool" "$copy" >/dev/null 2>&1; then
    failed=1
    echo "FAIL  $tool sees no mistake in $document after: $mistake"
  fi
}

install
bin=$cache/node_modules/.bin
# The scripts import from where the tools are.
cp "$here"/*.mjs "$here/spectral.yaml" "$cache/"
cd "$generated"
for document in openapi.json openapi-3.0.json; do
  for tool in redocly specification spectral; do
    check "$tool $document" "$tool" "$document"
  done
done
for document in asyncapi.json asyncapi-client.json; do
  for tool in spectral parser; do
    check "$tool $document" "$tool" "$document"
  done
done
check "ajv: schemas, examples, counter-examples" ajv "$root"

rm -rf "$cache/broken" && mkdir "$cache/broken"
twice='s/"operationId": "getHealth"/"operationId": "getMetrics"/'
refuses redocly openapi.json "$twice"
refuses specification openapi.json "$twice"
refuses spectral openapi.json "$twice"
refuses spectral asyncapi.json '/"license": {/,/}/d'
refuses parser asyncapi.json 's/"action": "receive"/"action": "listen"/'
cp -r "$generated" "$root/schema" "$cache/broken/"
sed -i 's/"maxLength": 128/"maxLenght": 128/' "$cache/broken/generated/schema/common/ids.json"
if ajv "$cache/broken" >/dev/null 2>&1; then
  failed=1
  echo "FAIL  ajv sees no mistake in a schema with maxLenght"
fi
echo "$SECONDS s"
exit "$failed"
