"""Reads a report of the Autobahn cases: prints counts, and fails on a case that did not pass or when some are missing.

    python3 tests/autobahn/report.py REPORT_DIR FLOOR
"""

import collections
import json
import pathlib
import sys

PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}


def main(folder, floor):
    index = json.loads((pathlib.Path(folder) / "index.json").read_text())
    cases = {case: outcome for agent in index.values() for case, outcome in agent.items()}
    counts = collections.Counter(outcome["behavior"] for outcome in cases.values())
    failed = {
        case: outcome
        for case, outcome in cases.items()
        if outcome["behavior"] not in PASSED or outcome["behaviorClose"] not in PASSED
    }
    for case, outcome in sorted(failed.items()):
        print(f"case {case}: {outcome['behavior']}, close: {outcome['behaviorClose']}, {outcome['reportfile']}")
    told = ", ".join(f"{count} {behavior}" for behavior, count in sorted(counts.items()))
    print(f"{len(cases)} cases: {told}; {len(failed)} failed; at least {floor} must run")
    return 1 if failed or len(cases) < floor else 0


sys.exit(main(sys.argv[1], int(sys.argv[2])))
