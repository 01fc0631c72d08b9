"""The suite itself: the table, the recorded answers and the wanted differences belong together."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tests.parity.cases import GROUPS
from tests.parity.client import Answer
from tests.parity.comparison import Difference, Expected, load_differences, load_recorded
from tests.parity.model import Variant
from tests.parity.normalise import fold, fold_json, normalise
from tests.parity.runner import cases_of
from tests.parity.variants import SETUPS

ANSWER = {"step": "GET / by demo", "status": 500, "headers": {}, "body": None}
WANTED = Difference(case="a*", steps=(1,), only={"status": 400}, reason="no crash")


def compare(
    case: str, recorded: list[dict[str, Any]], answered: list[dict[str, Any]], differences: Sequence[Difference] = ()
) -> list[str]:
    return Expected(case=case, recorded=recorded, differences=differences).reports(answered)


def test_case_names_are_unique() -> None:
    names = Counter(case.name for group in GROUPS.values() for case in group)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("variant", SETUPS)
def test_every_step_is_recorded_and_nothing_else(variant: Variant) -> None:
    table = {c.name: [f"{s.method} {s.path} by {s.persona}" for s in c.steps] for c in cases_of(variant)}
    assert {name: [a["step"] for a in answers] for name, answers in load_recorded(variant).items()} == table


def test_every_wanted_difference_speaks_of_a_recorded_step() -> None:
    steps = {
        (case.name, number)
        for variant in SETUPS
        for case in cases_of(variant)
        for number in range(1, len(case.steps) + 1)
    }
    for difference in load_differences():
        for number in difference.steps:
            assert any(difference.covers(*step) for step in steps if step[1] == number), (difference.case, number)


def test_an_equal_answer_has_no_report() -> None:
    assert compare("a", [ANSWER], [ANSWER]) == []


def test_another_status_is_reported_with_both_values() -> None:
    (report,) = compare("a", [ANSWER], [{**ANSWER, "status": 404}])
    assert '- "status": 500' in report
    assert '+ "status": 404' in report


def test_a_wanted_difference_is_expected_and_the_rest_of_its_step_is_not_compared() -> None:
    assert compare("ab", [ANSWER], [{**ANSWER, "status": 400, "body": "why"}], [WANTED]) == []


def test_a_wanted_change_of_one_part_leaves_the_others_compared() -> None:
    theirs = {**ANSWER, "status": 200, "body": {"checksum": "x", "size": 1, "stores": "web"}}
    wanted = Difference(case="a", steps=(1,), but={"body.checksum": None}, without=("body.stores",), reason="r")
    assert compare("a", [theirs], [{**theirs, "body": {"checksum": None, "size": 1}}], [wanted]) == []
    assert compare("a", [theirs], [{**theirs, "body": {"checksum": None, "size": 2}}], [wanted]) != []


def test_an_optional_difference_may_be_none() -> None:
    wanted = Difference(case="a", steps=(1,), only={"status": 400}, optional=True, reason="r")
    assert compare("a", [ANSWER], [ANSWER], [wanted]) == []


def test_a_wanted_difference_that_is_none_is_reported() -> None:
    (report,) = compare("ab", [{**ANSWER, "status": 400}], [{**ANSWER, "status": 400}], [WANTED])
    assert "remove the difference" in report


def test_what_is_built_later_is_reported_once_it_answers_as_glance_does() -> None:
    unbuilt = Difference(case="a", steps=(1,), later=True, reason="needs /members")
    assert compare("a", [ANSWER], [{**ANSWER, "status": 404}], [unbuilt]) == []
    (report,) = compare("a", [ANSWER], [ANSWER], [unbuilt])
    assert "remove the difference (needs /members)" in report


def test_a_part_that_is_built_later_leaves_the_others_compared() -> None:
    unbuilt = Difference(case="a", steps=(1,), but={"status": 404}, later=True, reason="r")
    assert compare("a", [ANSWER], [{**ANSWER, "status": 404}], [unbuilt]) == []
    assert compare("a", [ANSWER], [{**ANSWER, "status": 404, "body": "x"}], [unbuilt]) != []
    assert compare("a", [ANSWER], [ANSWER], [unbuilt]) != []


def test_a_missing_step_is_reported() -> None:
    assert len(compare("a", [ANSWER, ANSWER], [ANSWER])) == 1


def test_known_values_ids_times_and_request_ids_are_folded() -> None:
    text = "req-00000000-0000-4000-8000-000000000000 abc 00000000-0000-4000-8000-000000000000 2020-01-01T00:00:00Z"
    assert fold(text, {"id": "abc"}) == "<request id> {id} <uuid> <time>"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", "404 Not Found\n\n{}\n\n   "),
        ("text/html", "<html>\n <head>\n  <title>404 X</title>\n </head>\n <body>\n  <h1>404 X</h1>\n  {}<br />"),
        ("application/json", '{{"message": "{}", "code": "404 Not Found", "title": "Not Found"}}'),
    ],
)
def test_the_words_of_an_error_do_not_count_but_their_form_does(kind: str, body: str) -> None:
    def normal(words: str) -> dict[str, object]:
        return normalise(Answer(status=404, headers={"content-type": kind}, body=body.format(words).encode()), {})

    assert normal("No such image") == normal("There is none")
    assert normal("No such image") != normal("")


def test_tags_are_compared_as_a_set_and_other_lists_in_order() -> None:
    assert fold_json({"tags": ["b", "a"], "images": ["b", "a"]}, {}) == {"tags": ["a", "b"], "images": ["b", "a"]}


def test_an_empty_answer_has_neither_type_nor_length() -> None:
    answer = Answer(status=204, headers={"content-type": "text/html", "content-length": "0"}, body=b"")
    assert normalise(answer, {}) == {"status": 204, "headers": {}, "body": None}
