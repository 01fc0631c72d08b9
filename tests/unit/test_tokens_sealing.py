"""What can be read and written by somebody with access to memcached, but without the secret key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.sealing import Forged, Strategy, seal_for

DOCUMENT = {"document": {"token": {"user": {"id": "somebody"}}}, "end_s": 1.5}
TOKEN = b"gAAAA-a-token"
KEYED: list[Strategy] = ["mac", "encrypt"]
ALL: list[Strategy] = ["none", *KEYED]


@pytest.mark.parametrize("strategy", ALL)
def test_what_is_closed_opens_with_the_same_key(strategy: Strategy) -> None:
    name = seal_for(strategy, "key").name(TOKEN)
    value = seal_for(strategy, "key").close(name, DOCUMENT)
    assert seal_for(strategy, "key").open(name, value) == DOCUMENT


@pytest.mark.parametrize("strategy", ALL)
def test_a_name_fits_memcached_and_does_not_tell_the_token(strategy: Strategy) -> None:
    name = seal_for(strategy, "key").name(TOKEN)
    assert TOKEN.decode() not in name
    assert len(name) <= 250
    assert name.isascii()
    assert not any(character.isspace() for character in name)


def test_every_strategy_and_every_key_has_names_of_its_own() -> None:
    seals = [seal_for(strategy, key) for strategy in KEYED for key in ("key", "other")]
    assert len({seal.name(TOKEN) for seal in [*seals, seal_for("none", None)]}) == 5


@pytest.mark.parametrize("strategy", KEYED)
def test_another_key_opens_nothing(strategy: Strategy) -> None:
    value = seal_for(strategy, "key").close("name", DOCUMENT)
    with pytest.raises(Forged):
        seal_for(strategy, "other").open("name", value)


@pytest.mark.parametrize("strategy", KEYED)
def test_a_value_does_not_open_under_another_name(strategy: Strategy) -> None:
    seal = seal_for(strategy, "key")
    with pytest.raises(Forged):
        seal.open("other", seal.close("name", DOCUMENT))


@pytest.mark.parametrize(("closed", "opened"), [(a, b) for a in ALL for b in KEYED if a != b])
def test_a_value_of_another_strategy_does_not_open(closed: Strategy, opened: Strategy) -> None:
    with pytest.raises(Forged):
        seal_for(opened, "key").open("name", seal_for(closed, "key").close("name", DOCUMENT))


def test_an_encrypted_value_tells_nothing_and_never_looks_the_same() -> None:
    seal = seal_for("encrypt", "key")
    first, second = seal.close("name", DOCUMENT), seal.close("name", DOCUMENT)
    assert first != second
    assert b"somebody" not in first


@pytest.mark.parametrize("strategy", KEYED)
@given(data=st.data())
def test_no_change_of_a_value_goes_unnoticed(strategy: Strategy, data: st.DataObject) -> None:
    seal = seal_for(strategy, "key")
    value = bytearray(seal.close("name", DOCUMENT))
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Forged):
        seal.open("name", bytes(value))


@pytest.mark.parametrize("strategy", ALL)
@given(value=st.binary(max_size=200))
def test_bytes_that_are_not_ours_do_not_open(strategy: Strategy, value: bytes) -> None:
    try:
        opened = seal_for(strategy, "key").open("name", value)
    except Forged:
        return
    assert strategy == "none"
    assert isinstance(opened, dict)
