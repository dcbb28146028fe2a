"""The coverage gate: lines and branches of each gated package, and of all of them together.

Reads the data of the last run of the suite. Prints a table, and exits with 1 if anything is below the bar.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from coverage import Coverage

BAR_PERCENT: Final = 90.0
GATED: Final = ("schemas", "session", "tools")
ALL_GATED: Final = "together"
SHOWN: Final = ("engines", "server")
COUNTS: Final = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def main() -> int:
    """The exit code."""
    packages = {name: Counter[str]() for name in (*GATED, ALL_GATED, *SHOWN)}
    for path, file in _report()["files"].items():
        counts = {count: file["summary"][count] for count in COUNTS}
        package = Path(path).parts[0]
        packages[package].update(counts)
        if package in GATED:
            packages[ALL_GATED].update(counts)
    failed = False
    print(f"{'coverage':10} {'lines':>8} {'branches':>9}   (bar: {BAR_PERCENT:g} %)")
    for name, counts in packages.items():
        lines = _percent(counts["covered_lines"], counts["num_statements"])
        branches = _percent(counts["covered_branches"], counts["num_branches"])
        below = name not in SHOWN and min(lines, branches) < BAR_PERCENT
        failed = failed or below
        print(f"{name:10} {lines:6.1f} % {branches:7.1f} %{'   below the bar' if below else ''}")
    return 1 if failed else 0


def _report() -> dict[str, Any]:
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coverage.json")
        coverage.json_report(outfile=str(path))
        return json.loads(path.read_text("utf-8"))


def _percent(covered: int, total: int) -> float:
    return 100.0 * covered / total if total else 100.0


if __name__ == "__main__":
    sys.exit(main())
