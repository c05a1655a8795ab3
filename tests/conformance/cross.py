#!/usr/bin/env python3
"""Holds every broken server of broken.json, as a server of its own, against every scenario.

    tests/conformance/cross.py                 all of them; about ten minutes
    tests/conformance/cross.py replyTo seq     those with one of these texts in their name
    UPDATE=1 tests/conformance/cross.py        writes the table anew

A broken server is a sound one behind `agent-world record --break NAME`. The kit, started as anybody would, must fail it
with the check that it is made for. What else fails stands in cross.json; it depends on the moment, so one that is not listed
there is told, and is no error.
Needs target/debug/agent-world.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parent.parent / "target/debug/agent-world"
TABLE = HERE / "cross.json"
NOT_ACCEPTED = "does not speak this protocol"
UPDATE = os.environ.get("UPDATE") == "1"


def main():
    # What breaks a stream of server-sent events is left out: HTTP goes through the proxy as it is.
    broken = {one["name"]: one["fails"] for one in json.loads((HERE / "broken.json").read_text()) if "sse" not in json.dumps(one)}
    wanted = [name for name in broken if not sys.argv[1:] or any(text in name for text in sys.argv[1:])]
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    found, wrong, ran = {}, [], 0
    with tempfile.TemporaryDirectory() as work:
        kit = Path(work) / "kit"
        run("conform", "--export", kit)
        server, address = start("serve", "--listen", "127.0.0.1:0", "--data-dir", f"{work}/data", "--log", "info",
                                "--script", kit / "script.json", "--templates", kit / "templates")
        try:
            for name in wanted:
                started = time.monotonic()
                failed, scenarios = conform(address, name, work)
                ran += scenarios
                found[name] = sorted(failed)
                noticed = broken[name] in failed or NOT_ACCEPTED in failed
                if not noticed:
                    wrong.append(f"{name}: {broken[name]} does not fail")
                news = sorted(failed - set(known.get(name, [])))
                told = f"; not listed: {', '.join(news)}" if news and not UPDATE else ""
                print(f"{'✓' if noticed else '✗'} {name}: {len(failed)} checks fail in {scenarios} scenarios, "
                      f"{time.monotonic() - started:.1f} s{told}", flush=True)
        finally:
            end(server)
    if UPDATE:
        found = {name: sorted({*checks, *known.get(name, [])}) for name, checks in found.items()}
        TABLE.write_text(json.dumps({**known, **found}, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
    wrong += [f"the table lists {name}, which does not exist" for name in known if name not in broken]
    print("\n".join(f"✗ {line}" for line in wrong), end="\n" if wrong else "")
    print(f"{len(found)} broken servers, each a process of its own, against all scenarios ({ran} runs); {len(wrong)} wrong")
    sys.exit(1 if wrong or not found else 0)


def conform(address, name, work):
    """The checks that fail against the server at `address` when it is broken in that way, and how many scenarios ran."""
    proxy, there = start("record", f"http://{address}", f"{work}/recording.ndjson", "--force", "--break", name)
    try:
        done = subprocess.run([PROGRAM, "conform", f"http://{there}", "--json", "--allow-skips", "--timeout", "3"],
                              capture_output=True, text=True, timeout=900)
        if done.returncode == 2 and NOT_ACCEPTED in done.stderr:
            # No scenario begins: that is a way to notice, too.
            return {NOT_ACCEPTED}, 0
        assert done.returncode in (0, 1), f"{name}: exit code {done.returncode}: {done.stderr}"
        scenarios = [one for one in json.loads(done.stdout)["scenarios"] if one["outcome"] != "skipped"]
        return {check for one in scenarios for check in one.get("failedChecks", [])}, len(scenarios)
    finally:
        end(proxy)


def run(*arguments):
    subprocess.run([PROGRAM, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def start(*arguments):
    """A process that says at which address it listens."""
    process = subprocess.Popen([PROGRAM, *map(str, arguments)], stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if match := re.search(r"http://(127\.0\.0\.1:\d+)\)|listening.*?(127\.0\.0\.1:\d+)", re.sub(r"\x1b\[[0-9;]*m", "", line)):
            # What else it says is not for here.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, match[1] or match[2]
    raise RuntimeError(f"{arguments[0]} did not start")


def end(process):
    process.terminate()
    process.wait(30)


if __name__ == "__main__":
    main()
