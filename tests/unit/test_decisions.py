"""DECISIONS.md can be trusted by number: whoever finds an entry sees whether it still holds."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "DECISIONS.md").read_text()
TITLES = {int(number): title for number, title in re.findall(r"^## (\d+)\. (.*)$", TEXT, re.MULTILINE)}


def numbers(words: str) -> set[int]:
    return {int(number) for number in re.findall(r"\d+", words)}


def test_entries_are_numbered_without_a_gap_and_each_number_stands_once() -> None:
    assert re.findall(r"^## (\d+)\.", TEXT, re.MULTILINE) == [str(number) for number in range(1, len(TITLES) + 1)]


def test_an_entry_that_was_superseded_says_by_which() -> None:
    said = {
        (old, new)
        for old, title in TITLES.items()
        for words in re.findall(r"superseded by ([^;)]*)", title)
        for new in numbers(words)
    }
    done = {
        (old, new)
        for new, title in TITLES.items()
        for words in re.findall(r"supersedes ([^;)]*)", title)
        for old in numbers(words)
    }
    assert (11, 26) in done
    assert done <= said


def test_the_table_names_entries_that_there_are() -> None:
    table = TEXT[: TEXT.index("\n## 1. ")]
    named = [numbers(row.split("|")[2]) for row in table.splitlines() if row.startswith("| ") and "entries" not in row]
    assert len(named) > 10
    assert all(named)
    assert set().union(*named) <= set(TITLES)
