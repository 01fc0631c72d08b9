"""Records what a live Glance answers: `python -m tests.parity.record --url URL --keystone URL`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args

from tests.parity.cases import GROUPS
from tests.parity.keystone import tokens_from
from tests.parity.model import Variant
from tests.parity.origin import serve_origin
from tests.parity.session import Session
from tests.parity.variants import SETUPS

RECORDED = Path(__file__).parent / "recorded"


def write(variant: str, group: str, answers: dict[str, list[dict[str, Any]]]) -> None:
    """Write one group of cases, in the order of the table."""
    path = RECORDED / variant / f"{group}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Record every case of the variant; a failing request names its case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="base URL of the Glance")
    parser.add_argument("--keystone", required=True, help="its Keystone, with /v3")
    parser.add_argument("--variant", choices=get_args(Variant), default="default")
    parser.add_argument("--only", default="", help="record this group alone")
    options = parser.parse_args()
    with serve_origin() as origin:
        session = Session(
            url=options.url.rstrip("/"),
            origin=origin,
            token=tokens_from(options.keystone),
            new_image=SETUPS[options.variant].new_image,
        )
        session.learn_projects()
        count = 0
        for group, cases in GROUPS.items():
            chosen = [case for case in cases if options.variant in case.variants]
            if not chosen or (options.only and options.only != group):
                continue
            answers = {case.name: session.run(case) for case in chosen}
            count += sum(map(len, answers.values()))
            write(options.variant, group, answers)
            print(group, len(answers), file=sys.stderr)
    print(f"{count} answers recorded", file=sys.stderr)


if __name__ == "__main__":
    main()
