"""Glint answers as Glance does: each case of the table is one test for each variant, against a live Glint."""

from collections.abc import Callable

import pytest

from tests.parity.comparison import Expected, load_differences, load_recorded
from tests.parity.model import Case, Variant
from tests.parity.runner import cases_of
from tests.parity.session import Session
from tests.parity.variants import SETUPS

DIFFERENCES = load_differences()
CASES = [pytest.param(variant, case, id=f"{variant}: {case.name}") for variant in SETUPS for case in cases_of(variant)]


@pytest.mark.parametrize(("variant", "case"), CASES)
def test_every_answer_is_the_one_of_glance(
    variant: Variant, case: Case, session_of: Callable[[Variant], Session]
) -> None:
    expected = Expected(case=case.name, recorded=load_recorded(variant)[case.name], differences=DIFFERENCES)
    reports = expected.reports(session_of(variant).run(case, expected.is_met))
    assert not reports, "\n\n".join(reports)
