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

install
# The scripts import from where the tools are.
cp "$here"/*.mjs "$here/spectral.yaml" "$cache/"
cd "$generated"
bin=$cache/node_modules/.bin
for document in openapi.json openapi-3.0.json; do
  check "redocly recommended-strict $document" "$bin/redocly" lint --extends=recommended-strict "$document"
  check "openapi-spec-validator $document" "$cache/venv/bin/openapi-spec-validator" --errors all "$document"
done
for document in openapi.json openapi-3.0.json asyncapi.json asyncapi-client.json; do
  check "spectral $document" "$bin/spectral" lint --ruleset "$cache/spectral.yaml" --fail-severity hint "$document"
done
check "@asyncapi/parser asyncapi.json asyncapi-client.json" node "$cache/asyncapi.mjs" asyncapi.json asyncapi-client.json
check "ajv strict: schemas and examples" node "$cache/schemas.mjs" "$root"
echo "$SECONDS s"
exit "$failed"
