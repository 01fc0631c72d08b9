import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import Span
from proxy import ranges
from proxy.errors import BadRequest, RangeNotSatisfiable

SIZE = 100

READ = [
    ("bytes=0-9", Span(0, 10)),
    ("bytes=90-", Span(90, 100)),
    ("bytes=0-", Span(0, 100)),
    ("bytes=-10", Span(90, 100)),
    ("bytes=-500", Span(0, 100)),
    ("bytes=50-500", Span(50, 100)),
    ("bytes=99-99", Span(99, 100)),
    ("bytes=-0", Span(0, 100)),
    ("bytes=0-b", Span(0, 100)),
    ("bytes=0-9-", Span(0, 10)),
    ("BYTES = 0 - 9", Span(0, 10)),
    ("bytes=0-99999999999999999999999", Span(0, 100)),
]
REFUSED = [
    ("bytes=100-", RangeNotSatisfiable),
    ("bytes=100-200", RangeNotSatisfiable),
    ("bytes=20-10", RangeNotSatisfiable),
    ("bytes=-", RangeNotSatisfiable),
    ("bytes=", RangeNotSatisfiable),
    ("bytes=a-b", RangeNotSatisfiable),
    ("bytes=+1-9", RangeNotSatisfiable),
    ("items=0-9", RangeNotSatisfiable),
    ("", RangeNotSatisfiable),
    (f"bytes={'9' * 5000}-", RangeNotSatisfiable),
    ("bytes=0-9,20-29", BadRequest),
]


@pytest.mark.parametrize(("header", "span"), READ)
def test_a_range_is_read_as_glance_reads_it(header: str, span: Span) -> None:
    assert ranges.parse({"Range": header}, SIZE) == span


@pytest.mark.parametrize(("header", "error"), REFUSED)
def test_a_range_that_cannot_be_served_is_refused(header: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        ranges.parse({"Range": header}, SIZE)


def test_no_header_means_the_whole_image() -> None:
    assert ranges.parse({}, SIZE) is None


@pytest.mark.parametrize(
    ("header", "span"),
    [("bytes 0-9/100", Span(0, 10)), ("bytes 90-99/*", Span(90, 100)), ("bytes 0-9/50", Span(0, 10))],
)
def test_an_old_client_may_ask_by_content_range(header: str, span: Span) -> None:
    assert ranges.parse({"Content-Range": header}, SIZE) == span


@pytest.mark.parametrize(
    "header", ["bytes 90-100/100", "bytes */100", "bytes 10-5/100", "bytes 100-110/*", "bytes=0-9", "junk"]
)
def test_a_content_range_outside_the_image_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        ranges.parse({"Content-Range": header}, SIZE)


def test_range_wins_over_content_range() -> None:
    headers = {"Range": "bytes=0-4", "Content-Range": "bytes 50-59/100"}
    assert ranges.parse(headers, SIZE) == Span(0, 5)


@pytest.mark.parametrize("header", [header for header, _ in (*READ, *REFUSED)])
def test_a_range_on_a_condition_is_passed_over_since_none_can_hold(header: str) -> None:
    assert ranges.parse({"Range": header, "If-Range": '"1"', "Content-Range": "bytes 0-9/100"}, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-5", "bytes=0-0"])
def test_an_empty_image_has_no_part(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        ranges.parse({"Range": header}, 0)


@given(size=st.integers(1, 300), first=st.integers(0, 400), last=st.one_of(st.none(), st.integers(0, 400)))
def test_the_span_is_the_slice_of_the_bytes(size: int, first: int, last: int | None) -> None:
    """Against the model: what a list of positions would give."""
    wanted = range(size)[first : None if last is None else last + 1]
    header = {"Range": f"bytes={first}-{'' if last is None else last}"}
    if not wanted:
        with pytest.raises(RangeNotSatisfiable):
            ranges.parse(header, size)
    else:
        assert ranges.parse(header, size) == Span(wanted[0], wanted[-1] + 1)


@given(st.text(max_size=30), st.integers(0, 100))
def test_no_header_breaks_the_parser(text: str, size: int) -> None:
    """Whatever comes, the answer is a span within the image or a refusal."""
    for name in ("Range", "Content-Range"):
        try:
            span = ranges.parse({name: re.sub(r"^", "bytes=", text) if size % 2 else text}, size)
        except (BadRequest, RangeNotSatisfiable):
            continue
        assert span is not None
        assert 0 <= span.start < span.stop <= size
