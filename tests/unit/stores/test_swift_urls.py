"""Locations in Swift: every form that glance_store has written, and nothing of their credentials in an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstream.errors import Invalid
from upstream.stores.swift.urls import (
    SwiftTarget,
    container_of,
    is_segment,
    location_url,
    manifest_parts,
    origin_of,
    parse_swift,
    reference_url,
    segment_name,
)

IMAGE_ID = "fdae39a1-bac5-4238-aba4-69bcc726e848"
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Cs", "Cc")), min_size=1)


def target(**fields: str | None) -> SwiftTarget:
    return SwiftTarget(**{"container": "c", "name": "o", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "swift+https://service%3Aglance:k%40y@auth.example.org:5000/v3/c/o",
            target(address="https://auth.example.org:5000/v3", user="service:glance", key="k@y"),
        ),
        ("swift://user:key@auth/c/o", target(address="https://auth", user="user", key="key")),
        ("swift+http://account:user:key@auth/v1/c/o", target(address="http://auth/v1", user="account:user", key="key")),
        ("swift+http://a%3Au:k%3Aey@auth/c/o", target(address="http://auth", user="a:u", key="k:ey")),
        ("swift+http://a%3Au:k/e/y@auth/v3/c/o", target(address="http://auth/v3", user="a:u", key="k/e/y")),
        ("swift+https://store.example.org/v1/AUTH_x/c/o", target(address="https://store.example.org/v1/AUTH_x")),
        ("swift+config://ref1/c/o", target(reference="ref1")),
        ("SWIFT+CONFIG://Ref1/c/o", target(reference="Ref1")),
    ],
)
def test_all_forms_are_read(url: str, expected: SwiftTarget) -> None:
    assert parse_swift(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "swift://hunter2",
        "swift://hunter2/o",
        "swift+config://hunter2/o",
        "swift://user:hunter2@http://auth/v1/c/o",
        "swift://hunter2@auth/c/o",
        "swift://user:@hunter2/c/o",
        "swift+https://user:hunter2@/c/o",
        "swift+https://user:hunter2@auth:port/c/o",
        "swift+https://user:hunter2@[::1/c/o",
        "swift+https://user:hunter2@auth/c/o?x",
        "swift+https://user:hunter2@auth/c/o#x",
        "swift+https://user:hunter2@auth/c/ o",
        "swift+https://auth/c/user:hunter2@o",
        "swift+https://auth/c/",
        "http://user:hunter2@auth/c/o",
        "swift+ftp://user:hunter2@auth/c/o",
    ],
)
def test_what_is_no_object_is_invalid_and_its_credentials_are_not_repeated(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_swift(url)
    assert "hunter2" not in str(refused.value)


@given(user=WORDS, key=WORDS, is_plain=st.booleans())
def test_what_is_written_is_read_back(user: str, key: str, *, is_plain: bool) -> None:
    address = f"{'http' if is_plain else 'https'}://auth.example.org:5000/v3"
    url = location_url(f"{address}/", user, key, "c", "o")
    assert parse_swift(url) == target(address=address, user=user, key=key)
    assert "key=" not in repr(parse_swift(url))


@given(st.text())
def test_any_text_is_a_target_or_invalid(text: str) -> None:
    for scheme in ("swift://", "swift+http://", "swift+config://", ""):
        try:
            found = parse_swift(scheme + text)
        except Invalid:
            continue
        assert found.container
        assert found.name
        assert found.reference or origin_of(found.address)


def test_a_new_location_is_what_glance_writes() -> None:
    assert location_url("http://10.0.0.1:5000/v3/", "service:glance", "s3cret", "glance", IMAGE_ID) == (
        f"swift+http://service%3Aglance:s3cret@10.0.0.1:5000/v3/glance/{IMAGE_ID}"
    )
    assert location_url("https://a/v3", None, None, "glance", IMAGE_ID) == f"swift+https://a/v3/glance/{IMAGE_ID}"
    assert reference_url("ref1", "glance", IMAGE_ID) == f"swift+config://ref1/glance/{IMAGE_ID}"


@pytest.mark.parametrize(
    ("seed", "container"),
    [
        (0, "glance"),
        (1, "glance_f"),
        (8, "glance_fdae39a1"),
        (9, "glance_fdae39a1-b"),
        (10, "glance_fdae39a1-ba"),
        (13, "glance_fdae39a1-bac5-"),
        (14, "glance_fdae39a1-bac5-42"),
        (32, "glance_fdae39a1-bac5-4238-aba4-69bcc726e848"),
    ],
)
def test_containers_are_those_of_glance(seed: int, container: str) -> None:
    assert container_of(IMAGE_ID.upper(), "glance", seed) == container


def test_segments_are_known_by_their_names() -> None:
    assert segment_name(IMAGE_ID, 1) == f"{IMAGE_ID}-00001"
    assert segment_name(IMAGE_ID, 123_456) == f"{IMAGE_ID}-123456"
    assert is_segment(f"{IMAGE_ID}-00001", IMAGE_ID)
    assert is_segment(f"{IMAGE_ID}-123456", IMAGE_ID)
    for other in (IMAGE_ID, f"{IMAGE_ID}-0001", f"{IMAGE_ID}-00001-x", f"{IMAGE_ID}x00001", f"a{IMAGE_ID}-00001"):
        assert not is_segment(other, IMAGE_ID), other


def test_a_manifest_whose_prefix_could_be_anybodys_names_no_segments() -> None:
    assert manifest_parts("c/o-", "o") == ("c", "o-")
    assert manifest_parts("c_segments/o/17/42/", "o") == ("c_segments", "o/17/42/")
    assert manifest_parts("c%20d/o-", "o") == ("c d", "o-")
    for wide in ("c", "c/", "/o-", "c/o", "c/x-", "c/ox-"):
        assert manifest_parts(wide, "o") is None, wide
