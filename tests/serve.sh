# To be sourced: starts a server for a test, with data of its own, on a free port.

# serve PROGRAM DATA [OPTION…]: starts it, and waits until it answers. Sets `pid` and `url`; what it says is in DATA.log.
serve() {
  local program=$1 data=$2
  shift 2
  # There before it is looked into.
  : >"$data.log"
  "$program" serve --listen 127.0.0.1:0 --data-dir "$data" --log-format json "$@" 2>"$data.log" &
  pid=$!
  url=
  for _ in {1..100}; do
    url=$(sed -nE 's/.*"address":"([^"]+)".*/http:\/\/\1/p' "$data.log" | head -1)
    [[ -n $url ]] && curl -fsS -o /dev/null "$url/health" 2>/dev/null && return
    sleep 0.1
  done
  cat "$data.log" >&2
  return 1
}
