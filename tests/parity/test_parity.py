"""Glint answers as Glance does: each case of the table is one test against a live Glint.

Two fixtures of `tests/conftest.py` give the servers, both with `.url` and `.token(persona)`: `glint_parity`, with file
stores `file` (default, weight 100) and `second` and an http store `web`, and `glint_parity_locations`, the same with
`show_multiple_locations` on.
"""

from collections.abc import Iterator
from typing import Protocol

import pytest

from tests.parity.comparison import Expected, load_differences, load_recorded
from tests.parity.model import Case, Variant
from tests.parity.origin import serve_origin
from tests.parity.runner import cases_of
from tests.parity.session import Session

DIFFERENCES = load_differences()


class Server(Protocol):
    """A Glint that is ready to be asked."""

    url: str

    def token(self, persona: str) -> str | None:
        """The persona's token; None for one without an account."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with serve_origin() as url:
        yield url


@pytest.fixture(scope="module")
def session(glint_parity: Server, origin: str) -> Session:
    return _open(glint_parity, origin)


@pytest.fixture(scope="module")
def session_with_locations(glint_parity_locations: Server, origin: str) -> Session:
    return _open(glint_parity_locations, origin)


def _open(server: Server, origin: str) -> Session:
    session = Session(url=server.url, origin=origin, token=server.token)
    session.learn_projects()
    return session


@pytest.mark.parametrize("case", cases_of("default"), ids=lambda case: case.name)
def test_every_answer_is_the_one_of_glance(case: Case, session: Session) -> None:
    check(case, "default", session)


@pytest.mark.parametrize("case", cases_of("locations"), ids=lambda case: case.name)
def test_every_answer_is_the_one_of_glance_that_shows_locations(case: Case, session_with_locations: Session) -> None:
    check(case, "locations", session_with_locations)


def check(case: Case, variant: Variant, session: Session) -> None:
    expected = Expected(case=case.name, recorded=load_recorded(variant)[case.name], differences=DIFFERENCES)
    reports = expected.reports(session.run(case, expected.is_met))
    assert not reports, "\n\n".join(reports)
