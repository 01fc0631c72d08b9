"""What Glance's JSON says of an image, and whose token may be shown for it."""

from typing import Any

import pytest

from upstream.registry.glance import Bearer, Bearers, image_of

DOCUMENT = {"id": "i", "status": "active", "size": 3, "checksum": "c", "os_hash_algo": "sha512", "os_hash_value": "d"}


def test_what_the_cache_needs_is_read() -> None:
    image = image_of(DOCUMENT | {"direct_url": "http://a/b"})
    assert image is not None
    assert (image.id, image.size_bytes, image.os_hash_value, image.locations) == ("i", 3, "d", ())


def test_locations_are_read_where_they_are_shown_and_wanted() -> None:
    one = image_of(DOCUMENT | {"direct_url": "http://a/b"}, with_locations=True)
    all_of_them = [{"url": "http://a/b", "metadata": {"store": "s"}}, {"url": 5}, "x"]
    several = image_of(DOCUMENT | {"locations": all_of_them, "direct_url": "http://c"}, with_locations=True)
    assert one is not None
    assert several is not None
    assert [location.url for location in one.locations] == ["http://a/b"]
    assert [(location.url, location.store) for location in several.locations] == [("http://a/b", "s")]
    hidden = image_of(DOCUMENT, with_locations=True)
    assert hidden is not None
    assert hidden.locations == ()


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        DOCUMENT | {"id": 5},
        DOCUMENT | {"status": "gone"},
        DOCUMENT | {"size": -1},
        DOCUMENT | {"size": True},
    ],
)
def test_what_is_no_image_is_none(document: Any) -> None:
    assert image_of(document) is None


def test_a_token_is_lent_for_as_long_as_its_owner_waits() -> None:
    bearers = Bearers()
    first, second = Bearer({"X-Auth-Token": "first"}), Bearer({"X-Auth-Token": "second"})
    with bearers.lent("i", first):
        with bearers.lent("i", second):
            assert bearers.of("i") == [second, first]
            assert bearers.of("j") == []
        assert bearers.of("i") == [first]
        assert bearers.known() == {"i"}
    assert bearers.of("i") == []
    assert bearers.known() == frozenset()
    assert "first" not in repr(first)


def test_a_token_that_is_kept_is_forgotten_after_a_quarter_of_an_hour() -> None:
    now_s = 0.0
    bearers, bearer = Bearers(lambda: now_s), Bearer({})
    bearers.keep("i", bearer)
    now_s = 899.0
    assert bearers.of("i") == [bearer]
    now_s = 901.0
    assert bearers.of("i") == []
    assert bearers.known() == frozenset()
    for number in range(1100):
        bearers.keep(str(number), bearer)
    assert len(bearers.known()) == 1024
