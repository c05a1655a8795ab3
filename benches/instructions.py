#!/usr/bin/env python3
"""Counts the instructions of reading, dispatching, writing and spreading a frame, and compares them with the figures in
benches/instructions.json, within 3 %: a check of cost that a busy machine cannot disturb.

    benches/instructions.py           compares; fails when something has become dearer, or cheaper and nobody said so
    benches/instructions.py --update  writes the figures anew, to be committed with what changed them

It counts in the debug build, which is there anyway: what is wanted is not how much it is, but that it stays.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "benches/instructions.json"
PROGRAM = ROOT / "target/debug/examples/instructions"
ROUNDS = {"decode": 20, "dispatch": 50, "encode": 50, "fan-out": 5}
MARGIN = 0.03


def count(what, rounds):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(PROGRAM), what, str(rounds)]
    ran = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode != 0 or not found:
        sys.exit(f"{' '.join(command)} failed:\n{ran.stderr}")
    return int(found[1])


def main():
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--example", "instructions"], cwd=ROOT, check=True)
    # The difference of two runs is without what starting costs.
    now = {what: round((count(what, 2 * n) - count(what, n)) / n) for what, n in ROUNDS.items()}
    if "--update" in sys.argv[1:]:
        FIGURES.write_text(json.dumps(now, indent=2) + "\n")
        return print(f"written to {FIGURES.relative_to(ROOT)}: {now}")
    committed = json.loads(FIGURES.read_text())
    off = []
    for what, figure in now.items():
        change = figure / committed[what] - 1
        print(f"{what:10} {figure:>10,} instructions, {change:+.1%} against {committed[what]:,}")
        if abs(change) > MARGIN:
            off.append(what)
    if off:
        sys.exit(f"{', '.join(off)}: off by more than {MARGIN:.0%}. If that is meant, run benches/instructions.py "
                 "--update and commit the figures with the change that made them.")


if __name__ == "__main__":
    main()
