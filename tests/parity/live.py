"""A Glance and a Glint side by side, for each variant: `make parity`, or `python -m tests.parity.live [VARIANT...]`.

Every case is sent to both. Reported is where Glance answers otherwise than when it was recorded, and where Glint
answers otherwise than this Glance just did, but for the wanted differences. With `--record GROUP` the answers of these
groups are written down as the recorded ones instead; `--group` and `--only TEXT` choose among the cases.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, get_args

from tests.parity.cases import GROUPS
from tests.parity.comparison import Expected, load_differences, load_recorded
from tests.parity.keystone import tokens_from
from tests.parity.model import Case, Variant
from tests.parity.origin import serve_origin
from tests.parity.record import write
from tests.parity.session import Session
from tests.parity.variants import SETUPS, glint_for
from tests.peers.glance import Glance
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached
from tests.peers.server import Server

DIFFERENCES = load_differences()
Answers = Sequence[Mapping[str, Any]]


class Pair:
    """Both servers of a variant, running, before one Keystone."""

    def __init__(
        self, variant: Variant, folder: Path, stack: ExitStack, keystone: Keystone, memcached: Memcached
    ) -> None:
        self._stack, self._token = stack, tokens_from(keystone.url)
        self._new_image = SETUPS[variant].new_image
        self._origin = stack.enter_context(serve_origin())
        glance_folder, glint_folder = folder / "glance", folder / "glint"
        for each in (glance_folder, glint_folder):
            each.mkdir(parents=True)
        self._glance = Glance(glance_folder, keystone, memcached, options=SETUPS[variant].glance)
        self._glint = glint_for(variant, glint_folder, keystone, memcached)

    def glance(self) -> Session:
        return self._started(self._glance, self._glance.url)

    def glint(self) -> Session:
        return self._started(self._glint, self._glint.url)

    def _started(self, server: Server, url: str) -> Session:
        self._stack.enter_context(server)
        session = Session(url=url, origin=self._origin, token=self._token, new_image=self._new_image)
        session.learn_projects()
        return session


def compare(case: Case, variant: Variant, glance: Session, glint: Session) -> list[str]:
    """One report for each step that one of the two answers otherwise than expected."""
    recorded = load_recorded(variant).get(case.name, [])
    theirs = glance.run(case)
    reports = [f"GLANCE, as against its record: {text}" for text in _expected(case, recorded, ()).reports(theirs)]
    live = _expected(case, theirs, DIFFERENCES)
    answers = glint.run(case, live.is_met)
    return reports + [f"GLINT, as against Glance: {text}" for text in live.reports(answers)]


def _expected(case: Case, answers: Answers, differences: Sequence[Any]) -> Expected:
    return Expected(case=case.name, recorded=answers, differences=differences)


def run(variant: Variant, chosen: Sequence[Case], pair: Pair) -> int:
    """Print what differs; returns the number of cases in which something does."""
    with ThreadPoolExecutor(2) as threads:
        glance, glint = threads.map(lambda start: start(), (pair.glance, pair.glint))
    failed = 0
    for case in chosen:
        reports = compare(case, variant, glance, glint)
        failed += bool(reports)
        print(*reports, sep="\n\n", end="\n\n" if reports else "", flush=True)
    print(f"{variant}: {len(chosen) - failed} of {len(chosen)} cases agree", file=sys.stderr, flush=True)
    return failed


def record(variant: Variant, groups: Sequence[str], pair: Pair) -> int:
    """Write what this Glance answers."""
    glance = pair.glance()
    for group in groups:
        chosen = [case for case in GROUPS[group] if variant in case.variants]
        if chosen:
            write(variant, group, {case.name: glance.run(case) for case in chosen})
            print(f"{variant}: {group}, {len(chosen)} cases recorded", file=sys.stderr, flush=True)
    return 0


def main() -> int:
    """The exit code is 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=", ".join(get_args(Variant)) + "; all if none")
    parser.add_argument("--only", default="", metavar="TEXT", help="run the cases whose names contain this")
    parser.add_argument("--group", action="append", default=[], choices=GROUPS, help="run the cases of this group")
    parser.add_argument("--record", action="append", default=[], choices=GROUPS, help="write this group down instead")
    options = parser.parse_args()
    if unknown := set(options.variants) - set(SETUPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SETUPS)}")
    variants: Sequence[Variant] = options.variants or tuple(SETUPS)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="glint-parity-") as folder, ExitStack() as peers:
        root = Path(folder)
        keystone = peers.enter_context(Keystone(root / "keystone"))
        memcached = peers.enter_context(Memcached(root / "memcached"))
        for variant in variants:
            names = options.record or options.group or GROUPS
            of_groups = [c for name in names for c in GROUPS[name] if variant in c.variants]
            chosen = [case for case in of_groups if options.only in case.name]
            work = partial(record, variant, options.record) if options.record else partial(run, variant, chosen)
            if chosen:
                with ExitStack() as stack:
                    failed += work(Pair(variant, root / variant, stack, keystone, memcached))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
