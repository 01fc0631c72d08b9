"""Image data of a Glance, by the tokens of those who wait."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from upstream.errors import DataNotFound, Denied
from upstream.stores import GlanceFile, Witness
from upstream.stores.sources import Place
from upstream.types import Location

PLACE = Place(location=Location(url=""), store=None, witness=Witness(size_bytes=1))


async def asked(answers: Mapping[str, int], joins: Mapping[str, str]) -> tuple[list[str], type[Exception]]:
    """Whose tokens Glance saw, and what came of it; `joins`: while the first is asked for, the second comes."""
    waiting, seen = ["first"], list[str]()

    @asynccontextmanager
    async def ask(headers: Mapping[str, str]) -> AsyncIterator[Any]:
        token = headers["X-Auth-Token"]
        seen.append(token)
        waiting.extend([joins[token]] if token in joins else [])
        yield SimpleNamespace(status=answers[token], headers={})

    file = GlanceFile(ask, lambda: [{"X-Auth-Token": token} for token in waiting], idle_s=1, skip_max=0)
    with pytest.raises((Denied, DataNotFound)) as caught:
        async with file.open(PLACE, 0, None, insist=False):
            pass
    return seen, caught.type


async def test_what_glance_says_to_one_token_is_no_answer_to_another_that_came_meanwhile() -> None:
    assert await asked({"first": 401, "second": 204}, {"first": "second"}) == (["first", "second"], DataNotFound)
    assert await asked({"first": 403, "second": 401}, {"first": "second"}) == (["first", "second"], Denied)


async def test_a_token_is_shown_once_and_the_last_answer_counts() -> None:
    assert await asked({"first": 403}, {"first": "first"}) == (["first"], Denied)
