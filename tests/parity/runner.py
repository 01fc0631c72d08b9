"""Compares a live server with the recorded answers: `python -m tests.parity.runner --url URL --keystone URL`."""

import argparse
import sys
from typing import get_args

from tests.parity.cases import GROUPS
from tests.parity.comparison import Expected, load_differences, load_recorded
from tests.parity.keystone import tokens_from
from tests.parity.model import Case, Variant
from tests.parity.origin import serve_origin
from tests.parity.session import Session
from tests.parity.variants import SETUPS


def cases_of(variant: Variant) -> list[Case]:
    """The cases of a variant in the order of the table."""
    return [case for group in GROUPS.values() for case in group if variant in case.variants]


def main() -> int:
    """Print a report for every step that differs; the exit code is 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="base URL of the server")
    parser.add_argument("--keystone", required=True, help="its Keystone, with /v3")
    parser.add_argument("--variant", choices=get_args(Variant), default="default")
    parser.add_argument("--only", default="", help="run the cases whose names contain this")
    parser.add_argument("--glance", action="store_true", help="the server is a Glance: no difference is wanted")
    options = parser.parse_args()
    recorded = load_recorded(options.variant)
    differences = () if options.glance else load_differences()
    chosen = [case for case in cases_of(options.variant) if options.only in case.name]
    failed = 0
    with serve_origin() as origin:
        session = Session(
            url=options.url.rstrip("/"),
            origin=origin,
            token=tokens_from(options.keystone),
            new_image=SETUPS[options.variant].new_image,
        )
        session.learn_projects()
        for case in chosen:
            expected = Expected(case=case.name, recorded=recorded.get(case.name, []), differences=differences)
            reports = expected.reports(session.run(case, None if options.glance else expected.is_met))
            failed += bool(reports)
            print(*reports, sep="\n\n", end="\n\n" if reports else "")
    print(f"{len(chosen) - failed} of {len(chosen)} cases answer as Glance does", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
