# ruff: noqa: T201 - a command line prints
"""``python -m tests.conformance DIR --json OUT``: runs every case in a folder."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from tests.conformance.case import VECTORS, load_folder
from tests.conformance.report import has_failures, report, summary
from tests.conformance.run import run_case


def main() -> int:
    """Run, write the report, and say how it went.

    Returns:
        0 when no case failed, 1 when one did; a wrong command line ends with 2.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path, nargs="?", default=VECTORS / "public")
    parser.add_argument("--json", dest="out", metavar="OUT", type=Path, help="write the report")
    parser.add_argument("--only", metavar="TEXT", default="", help="cases with this in their name")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what differs")
    args = parser.parse_args()
    if not args.folder.is_dir():
        parser.error(f"{args.folder} is no folder")
    logging.disable(logging.CRITICAL)  # what a case logs is not compared
    outcomes = [
        (case, run_case(case)) for case in load_folder(args.folder) if args.only in case.name
    ]
    result = report(outcomes)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for case, outcome in outcomes:
        if outcome.kind == "failed":
            print(f"failed: {case.name}" + (f"\n{outcome.detail}\n" if args.verbose else ""))
    print(summary(result))
    return 1 if has_failures(result) else 0


if __name__ == "__main__":
    sys.exit(main())
