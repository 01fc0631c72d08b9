"""Glint takes over the database and the stores of a Glance, and a Glance those of a Glint."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parity.origin import serve_origin
from tests.peers import Keystone, Memcached
from tests.takeover.asking import Answers, differences, everything, wrong_data
from tests.takeover.changing import change_everything, delete_everything
from tests.takeover.making import make_everything
from tests.takeover.old_rows import insert_old_rows
from tests.takeover.places import DATABASES, Pair, files_of, pair_on
from tests.takeover.service import Made, Service, identity_of

pytestmark = pytest.mark.timeout(600)

NAME = "first"
# Of the questions in the short form; no divisor of the number of those who ask.
SHARE = 5


@pytest.fixture
def origin() -> Iterator[str]:
    with serve_origin() as url:
        yield url


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path, keystone: Keystone, memcached: Memcached) -> Iterator[Pair]:
    with pair_on(request.param, tmp_path, keystone, memcached, identity_of(keystone)) as pair:
        yield pair


def assert_the_same(service: Service, before: Answers, *made: Made, old: Made | None = None, share: int = 1) -> None:
    """Every question is answered as before, and every byte is there.

    Of `old` rows the times are left out: a Glance that reads them writes the store into them.
    """
    read = set(old.images.values()) if old else set()
    found = differences(before, everything(service, NAME, *made, share=share), without_times_of=read)
    assert not found, f"{len(found)} parts of {len(before)} answers differ:\n" + "\n".join(found[:60])
    assert not wrong_data(service, *made)


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_a_glance_is_taken_over_and_takes_over_again(pair: Pair, origin: str) -> None:
    """The way there and back, with a part of the questions."""
    with pair.running(pair.glance) as glance:
        of_glance = make_everything(glance, NAME, origin)
        answers = everything(glance, NAME, of_glance, share=SHARE)
    with pair.running(pair.glint) as glint:
        assert_the_same(glint, answers, of_glance, share=SHARE)
        change_everything(glint, of_glance)
        of_glint = make_everything(glint, "second", origin)
        answers = everything(glint, NAME, of_glance, of_glint, share=SHARE)
    with pair.running(pair.glance) as glance:
        assert_the_same(glance, answers, of_glance, of_glint, share=SHARE)
        delete_everything(glance, of_glint)
        delete_everything(glance, of_glance)
    assert files_of(pair) == []


@pytest.mark.long
@pytest.mark.parametrize("pair", sorted(DATABASES), indirect=True)
def test_glint_and_glance_take_turns_on_one_database(pair: Pair, origin: str) -> None:
    """Whatever one has written, the other answers as the one did; then it changes and deletes it, and so on back."""
    with pair.running(pair.glance) as glance:
        of_glance = make_everything(glance, NAME, origin)
        answers = everything(glance, NAME, of_glance)
        assert not wrong_data(glance, of_glance)
    with pair.running(pair.glint) as glint:
        assert_the_same(glint, answers, of_glance)
        old = insert_old_rows(pair)
        change_everything(glint, of_glance)
        of_glint = make_everything(glint, "second", origin)
        answers = everything(glint, NAME, of_glance, of_glint, old)
        assert not wrong_data(glint, of_glance, of_glint, old)
    with pair.running(pair.glance) as glance:
        assert not wrong_data(glance, old)  # which writes the stores into the rows
        assert_the_same(glance, answers, of_glance, of_glint, old, old=old)
        change_everything(glance, of_glint)
        delete_everything(glance, of_glance)
        answers = everything(glance, NAME, of_glance, of_glint, old)
    with pair.running(pair.glint) as glint:
        assert_the_same(glint, answers, of_glance, of_glint, old)
        delete_everything(glint, of_glint)
        delete_everything(glint, old)
        answers = everything(glint, NAME, of_glance, of_glint, old)
    assert files_of(pair) == []
    with pair.running(pair.glance) as glance:
        assert_the_same(glance, answers, of_glance, of_glint, old)


@pytest.mark.long
@pytest.mark.parametrize("pair", sorted(DATABASES), indirect=True)
def test_a_glance_takes_over_a_database_that_glint_has_made(pair: Pair, origin: str) -> None:
    with pair.running(pair.glint) as glint:
        of_glint = make_everything(glint, NAME, origin)
        answers = everything(glint, NAME, of_glint)
    with pair.running(pair.glance) as glance:
        assert_the_same(glance, answers, of_glint)
        delete_everything(glance, of_glint)
    assert files_of(pair) == []
