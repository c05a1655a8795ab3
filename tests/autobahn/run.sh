#!/usr/bin/env bash
# The Autobahn cases, all groups but 12 and 13 (compression, which is not offered), against an echo over exactly the
# server's WebSocket stack and settings; with `client`, against the WebSocket that the SDK is handed in Node.
#
#   tests/autobahn/run.sh [server|client]
set -euo pipefail
cd "$(dirname "$0")/../.."
side=${1:-server}
out=target/autobahn
floor=301

if ! cmp -s tests/autobahn/requirements.txt "$out/requirements.txt"; then
  rm -rf "$out"
  mkdir -p "$out"
  python3 -m venv "$out/venv"
  "$out/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r tests/autobahn/requirements.txt
  cp tests/autobahn/requirements.txt "$out/requirements.txt"
fi
rm -rf "$out/report-$side"
groups=()
for group in 1 2 3 4 5 6 7 9 10; do groups+=(-i "$group.*"); done

if [ "$side" = server ]; then
  cargo build --locked --example echo
  # It ends when its standard input does, and says where it listens.
  coproc ECHO { target/debug/examples/echo; }
  read -r -t 30 address <&"${ECHO[0]}"
  "$out/venv/bin/kosoku" -m fuzzingclient "${groups[@]}" -p 2 -o "$out/report-$side" "$address" >"$out/log-$side" 2>&1 ||
    tail -n 20 "$out/log-$side"
else
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$out/venv/bin/kosoku" -m fuzzingserver "${groups[@]}" -o "$out/report-$side" "127.0.0.1:$port" >"$out/log-$side" 2>&1 &
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.1
  done
  timeout 300 node tests/autobahn/client.mjs "ws://127.0.0.1:$port" || tail -n 20 "$out/log-$side"
  # The report is written when the client has asked for it.
  for _ in $(seq 300); do
    grep -q 'wrote reports\|cases passed\|cases failed' "$out/log-$side" && [ -s "$out/report-$side/index.json" ] && break
    sleep 0.1
  done
fi
echo "the $side's side:"
python3 tests/autobahn/report.py "$out/report-$side" "$floor"
