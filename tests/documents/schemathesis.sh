#!/usr/bin/env bash
# Holds a running server to openapi.json with Schemathesis: as the example user, and without a token. Every check is on;
# any failure fails. The seed is fixed, so a finding comes again.
#
#   tests/documents/schemathesis.sh [PATH OF agent-world]
#
# Left out is what cannot end: the streams of `chat?until=never` and of `listEvents` as `text/event-stream`.
# tests/it/ holds those.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
server=$(realpath "${1:-${CARGO_TARGET_DIR:-$root/target}/debug/agent-world}")
cache=$root/target/documents/schemathesis
token=q7H2m0Xv4cYw9Zr1LkT8sB5nJ3dPfGaE6uVxR_yQo-A
mkdir -p "$cache"
. "$root/tests/serve.sh"

pinned=$(sha256sum <"$here/requirements-schemathesis.txt")
if [[ ! -f $cache/installed || $(cat "$cache/installed") != "$pinned" ]]; then
  python3 -m venv --clear "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements-schemathesis.txt"
  echo "$pinned" >"$cache/installed"
fi

work=$(mktemp -d)
# Schemathesis looks for its hooks, and leaves what it remembers, where it runs.
cp "$here"/schemathesis* "$work/"
cd "$work"
pid=
stop() { [[ -z $pid ]] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }; pid=; }
trap 'stop; rm -rf "$work"' EXIT

failed=0
# $1 names the run; the rest is for Schemathesis.
run() {
  local name=$1 begin=$SECONDS
  shift
  serve "$server" "$(mktemp -d "$work/data.XXXX")" --demo-token "$token"
  if "$cache/venv/bin/st" --config-file schemathesis.toml run "$url/openapi.json" --url "$url" --no-color "$@" \
    >"$work/$name.txt" 2>&1; then
    printf 'ok    schemathesis %-22s %3ss %s\n' "$name" $((SECONDS - begin)) "$(grep ' generated, ' "$work/$name.txt")"
  else
    failed=1
    printf 'FAIL  schemathesis %-22s %3ss\n' "$name" $((SECONDS - begin))
    cat "$work/$name.txt"
  fi
  stop
}

# What ends the session or the world ends the tests of everything else, and so comes by itself.
ends=(deleteSession deleteWorld)
user=(--header "Authorization: Bearer $token")
run 'with the token' "${user[@]}" "${ends[@]/#/--exclude-operation-id=}"
run 'with the token, ends' "${user[@]}" "${ends[@]/#/--include-operation-id=}"
run 'without a token'
exit "$failed"
