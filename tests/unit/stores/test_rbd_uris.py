"""Locations in a Ceph: both forms that glance_store writes, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstream.errors import Invalid
from upstream.stores.rbd.uris import RbdTarget, parse_rbd, rbd_url

FSID = "d43777e2-b2c3-49bb-8ea3-d07e4e66f43b"
PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (
            f"rbd://{FSID}/images/8f1f5a0e/snap",
            RbdTarget(fsid=FSID, pool="images", image="8f1f5a0e", snapshot="snap"),
        ),
        ("rbd://8f1f5a0e", RbdTarget(image="8f1f5a0e")),
        ("rbd://not%20unquoted", RbdTarget(image="not%20unquoted")),
        ("RBD://a/b/c/d", RbdTarget(fsid="a", pool="b", image="c", snapshot="d")),
        ("rbd://a/p%2Fq/i%40j/s%25t", RbdTarget(fsid="a", pool="p/q", image="i@j", snapshot="s%t")),
    ],
)
def test_both_forms_of_a_location_are_read(url: str, target: RbdTarget) -> None:
    assert parse_rbd(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "rbd://",
        "rbd:///",
        "rbd://pool/image",
        "rbd://fsid/pool/image",
        "rbd://fsid/pool/image/snap/more",
        "rbd://fsid//image/snap",
        "rbd://fsid/pool/image/",
        "rbd://fsid/pool/image/%00",
        "rbd://fsid/pool/image/%FF",
        "rbd://a\0b",
        "swift://a/b",
        "image",
    ],
)
def test_other_forms_are_refused(url: str) -> None:
    with pytest.raises(Invalid):
        parse_rbd(url)


@given(PARTS, PARTS, PARTS, PARTS)
def test_what_is_written_is_read_back(fsid: str, pool: str, image: str, snapshot: str) -> None:
    url = rbd_url(fsid, pool, image, snapshot)

    assert url.count("/") == 5
    assert parse_rbd(url) == RbdTarget(fsid=fsid, pool=pool, image=image, snapshot=snapshot)


@given(st.text())
def test_whatever_comes_is_read_or_refused(rest: str) -> None:
    try:
        target = parse_rbd(f"rbd://{rest}")
    except Invalid:
        return
    assert target.image
    assert (target.fsid is None) == ("/" not in rest)
