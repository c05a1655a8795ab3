#!/usr/bin/env python3
"""Measures the server against what people would use instead, and writes docs/PERFORMANCE.md with its plots.

    benches/run.py                everything, five repetitions; about ten minutes
    benches/run.py --quick        a tenth of it, once or twice, to see that it runs; writes under target/bench only
    benches/run.py --only echoes  some scenarios, printed and not written
    benches/run.py --report       writes the report anew from the last whole run

Needs Rust, Node with npm, Python 3.11 and two cores. The unit is the server's CPU microseconds for each message, in
ratios within one run: rates depend on the client and on what else the machine does.
"""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import time

import report
import scenarios
from servers import ROOT, WORK, Server, install, versions

RESULTS = WORK / "results.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", default="", metavar="NAMES", help="some scenarios: " + ", ".join(names()))
    parser.add_argument("--without", default="", metavar="NAMES", help="leave these out of the report, as codec, which compiles long")
    parser.add_argument("--repetitions", type=int, help="instead of 5, or 2 with --quick")
    parser.add_argument("--report", action="store_true", help="only write the report of the last run again")
    parser.add_argument("--no-install", action="store_true", help="everything is built and installed already")
    options = parser.parse_args()
    if options.report:
        return report.write(json.loads(RESULTS.read_text()), ROOT / "docs")
    wanted = [name for name in options.only.split(",") if name]
    without = [name for name in options.without.split(",") if name]
    unknown = set(wanted + without) - set(names())
    if unknown:
        sys.exit(f"there is no scenario {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    started = time.monotonic()
    if not options.no_install:
        install()
    repetitions = options.repetitions or (2 if options.quick else 5)
    values = {}
    for scenario, share in scenarios.ALL:
        if (not wanted or scenario.__name__ in wanted) and scenario.__name__ not in without:
            measure(scenario, max(1, round(repetitions * share)), 0.1 if options.quick else 1.0, values)
    if (not wanted or "codec" in wanted) and "codec" not in without:
        print("codec (Criterion)", flush=True)
        shutil.rmtree(ROOT / "target/criterion", ignore_errors=True)
        for _ in range(repetitions):
            # The two take turns: a processor that becomes slower meanwhile slows both.
            criterion("codec", options.quick, "decode chat of 300 bytes/(ours|plain serde)")
            values.setdefault("decode", {}).setdefault("agent-world", []).append(scenarios.decode_ratio())
        for bench in ("codec", "world", "log"):
            criterion(bench, options.quick)
    if wanted:
        return
    results = {
        "date": time.strftime("%Y-%m-%d"), "machine": machine(), "versions": versions(), "repetitions": repetitions,
        "minutes": round((time.monotonic() - started) / 60, 1), "values": values,
        "codec": {} if "codec" in without else scenarios.codec(),
    }
    if options.quick:
        report.write(results, WORK / "quick")
        return print(f"written to {WORK / 'quick'}; {results['minutes']} minutes")
    RESULTS.write_text(json.dumps(results, indent=1))
    report.write(results, ROOT / "docs")
    print(f"written to docs/PERFORMANCE.md; {results['minutes']} minutes")


def names():
    return [scenario.__name__ for scenario, _ in scenarios.ALL] + ["codec"]


def criterion(bench, quick, *only):
    """Runs a Criterion benchmark, which leaves its figures below target/criterion."""
    time_each = "0.5" if quick or only else "2"
    subprocess.run(["cargo", "bench", "--locked", "-p", "agent-world-benches", "--bench", bench, "--", *only, "--noplot",
                    "--warm-up-time", "0.2", "--measurement-time", time_each, "--sample-size", "20"],
                   cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def measure(scenario, repetitions, size, values):
    """Repeats a scenario; the servers that it asks for run through all of it."""
    print(f"{scenario.__name__}, {repetitions} repetitions", flush=True)
    servers = {}

    def running(names):
        for name in names:
            if name not in servers:
                servers[name] = Server(name)
            yield servers[name]

    own = {}
    try:
        for _ in range(repetitions):
            for row, server, value in scenario(size, running):
                own.setdefault(row, {}).setdefault(server, []).append(value)
    finally:
        for server in servers.values():
            server.stop()
    for row, servers in own.items():
        for server, measured in servers.items():
            middle = statistics.median(measured)
            print(f"  {row:28} {server:16} {middle:12.3f}   {min(measured):.3f} – {max(measured):.3f}", flush=True)
    values.update(own)


def machine():
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal")))
    return f"{model}, {__import__('os').cpu_count()} cores, {round(memory / 2**20)} GiB, {platform.system()} {platform.release()}"


if __name__ == "__main__":
    main()
