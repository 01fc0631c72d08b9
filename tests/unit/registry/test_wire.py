"""What crosses between two Glints comes out as it went in, and anything else is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from upstream import errors
from upstream.errors import Conflict, NotFound, Unavailable, UpstreamError, WrongLength
from upstream.registry import (
    Ceiling,
    Definitions,
    Filter,
    ImageChanges,
    ImageQuery,
    Lock,
    MetadefObject,
    MetadefProperty,
    Namespace,
    Operator,
    Order,
)
from upstream.registry.sql.failures import LostRace
from upstream.registry.wire import (
    OPERATIONS,
    Unreadable,
    dumps,
    from_document,
    from_headers,
    loads,
    to_document,
    to_headers,
)
from upstream.registry.wire.codec import codec
from upstream.registry.wire.identity import HEADERS
from upstream.types import Context, Image, Location, Status, Task, Visibility

T0 = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)
IMAGE = Image(
    id="a",
    created_at=T0,
    updated_at=T0 + timedelta(days=1),
    name="\ud800 half a pair",
    status=Status.ACTIVE,
    size_bytes=2**40,
    protected=True,
    properties={"os": "x", "empty": None, "$time": "no time"},
    tags=("b", "a"),
    locations=(Location(url="swift+http://u:p@h/c/o", metadata={"$tuple": [1, {"$object": 2.5}]}, id=7),),
)
TASK = Task(id="t", type="import", owner="p", created_at=T0, updated_at=T0, input={"a": [None, {"b": 2**70}]})
VALUES: Sequence[tuple[Any, Any]] = [
    (Image, IMAGE),
    (Sequence[Image], [IMAGE, IMAGE]),
    (Task | None, TASK),
    (Task | None, None),
    (Lock, Lock.take(TASK, stale="s")),
    (Ceiling, Ceiling(project_id=None, images_max=0)),
    (
        ImageQuery,
        ImageQuery(
            filters=(
                Filter(field="created_at", operator=Operator.GT, value=T0.astimezone(timezone(timedelta(hours=2)))),
                Filter(field="name", operator=Operator.IN, value=("a", 1, None, True, 1.5)),
            ),
            visibility=Visibility.SHARED,
            sort=(("name", Order.ASCENDING), ("id", Order.DESCENDING)),
        ),
    ),
    (
        ImageChanges,
        ImageChanges(
            columns={"created_at": T0, "size": None, "min_disk": 1}, tags=[], added_locations=[Location(url="u")]
        ),
    ),
    (
        Definitions,
        Definitions(
            namespace=Namespace(name="n", owner="o", created_at=T0),
            properties=(MetadefProperty(name="p", schema={"type": "array", "enum": [{}, [], {"$number": "nan"}]}),),
            objects=(MetadefObject(name="o", required=("p",), properties={"p": {"default": float("inf")}}),),
        ),
    ),
    (Mapping[str, Any], {"time": T0.replace(tzinfo=None), "$object": {"$time": "x"}}),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=lambda value: getattr(value, "__name__", "value"))
def test_a_value_comes_out_as_it_went_in(kind: Any, value: Any) -> None:
    one = codec(kind)
    heard = one.decode(loads(dumps(one.encode(value))))
    assert heard == value
    assert type(heard) is type(value)


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (int, True),
        (int, "1"),
        (bool, 1),
        (str, None),
        (str | None, 1),
        (datetime, "yesterday"),
        (datetime, 5),
        (Status, "lost"),
        (Status, ["active"]),
        (tuple[str, ...], "abc"),
        (tuple[tuple[str, Order], ...], [["name"]]),
        (Mapping[str, str], []),
        (Location, {}),
        (Location, {"url": "u", "size": 1}),
        (Any, {"$time": 1}),
        (Any, {"$number": 1}),
        (Any, {"$object": []}),
    ],
)
def test_what_was_not_agreed_on_is_refused(kind: Any, document: Any) -> None:
    with pytest.raises(Unreadable):
        codec(kind).decode(document)


@pytest.mark.parametrize("value", [{1: "a"}, {"a": object()}, b"bytes"])
def test_what_no_document_can_say_is_not_sent(value: Any) -> None:
    with pytest.raises(Unreadable):
        codec(Any).encode(value)


def test_an_answer_may_have_fields_that_only_a_newer_glint_knows_and_a_question_may_not() -> None:
    """A lock that is passed over would be none; what is shown too much hurts nobody."""
    document = {"url": "u", "checked_at": "2031-01-01"}
    assert codec(Location, tolerant=True).decode(document) == Location(url="u")
    asked = {"image_id": "a", "changes": {"frozen": True}}
    with pytest.raises(Unreadable, match="frozen"):
        OPERATIONS["images.update"].unpack(asked)
    with pytest.raises(Unreadable, match="unless"):
        OPERATIONS["images.delete"].unpack({"image_id": "a", "unless": "b"})
    with pytest.raises(Unreadable, match="image_id"):
        OPERATIONS["images.delete"].unpack({})


def test_what_has_its_default_is_not_sent() -> None:
    assert codec(Location).encode(Location(url="u")) == {"url": "u"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"' + b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        loads(body)


def test_every_operation_is_on_the_table_and_nothing_that_writes_is_repeated() -> None:
    """Read out of the Protocols, so it grows with them: who adds a method decides here whether it may be repeated."""
    reads = {name for name, operation in OPERATIONS.items() if operation.is_read}
    assert reads == {
        "check",
        "images.get",
        "images.list",
        "locations.due",
        "locations.pending",
        "members.get",
        "members.list",
        "metadefs.catalogue.export",
        "metadefs.namespaces.definitions",
        "metadefs.namespaces.get",
        "metadefs.namespaces.list",
        *(f"metadefs.{each}.{read}" for each in ("objects", "properties", "tags") for read in ("get", "list")),
        "metadefs.resource_types.all",
        "metadefs.resource_types.get",
        "metadefs.resource_types.list",
        "metadefs.tags.page",
        "tasks.get",
        "tasks.list",
        "tasks.of_image",
        "tasks.stale",
        "usage.of",
    }
    assert len(OPERATIONS) > 50


EVERYTHING = Context(
    user_id="ü,ser",
    project_id="-",
    user_domain_id="",
    project_domain_id=" d ",
    domain_id="a\nb",
    system_scope="all",
    roles=frozenset({"admin", "a,b", "c d"}),
    service_roles=frozenset({"service"}),
    is_admin=True,
    read_only=True,
    request_id="req-1",
    token="secret",
)


@pytest.mark.parametrize("context", [Context(), EVERYTHING, Context(project_id="p", roles=frozenset({"reader"}))])
def test_who_asks_crosses_in_headers_but_for_the_token(context: Context) -> None:
    headers = to_headers(context)
    assert "secret" not in str(headers)
    assert all(value.isascii() and value.isprintable() and " " not in value for value in headers.values())
    heard = from_headers(headers)
    for each in fields(Context):
        if each.name != "token":
            assert getattr(heard, each.name) == getattr(context, each.name)
    assert heard.token is None


def test_every_field_of_a_context_has_a_header() -> None:
    assert set(to_headers(EVERYTHING)) == set(HEADERS)
    assert len(HEADERS) == len(fields(Context)) - 1


def test_a_flag_that_is_none_is_refused() -> None:
    with pytest.raises(Unreadable, match="X-Is-Admin"):
        from_headers({"X-Is-Admin": "false"})


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, UpstreamError)]
MADE: Mapping[type[UpstreamError], UpstreamError] = {
    NotFound: NotFound("image", "é"),
    errors.DataNotFound: errors.DataNotFound("the store"),
    Unavailable: Unavailable("registry", "locked", retry_after_s=1.5),
    errors.Unproved: errors.Unproved("store", retry_after_s=2.0),
    WrongLength: WrongLength(5, 4),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_comes_out_as_it_was_raised(kind: type[UpstreamError]) -> None:
    raised = MADE.get(kind) or kind("The message")
    heard = from_document(loads(dumps(to_document(raised))))
    assert type(heard) is type(raised)
    assert (str(heard), vars(heard)) == (str(raised), vars(raised))


def test_an_error_that_only_the_database_knows_comes_out_as_the_nearest_that_all_know() -> None:
    heard = from_document(to_document(LostRace("registry", "deadlock")))
    assert type(heard) is Unavailable
    assert str(heard) == "registry is unavailable: deadlock"


@pytest.mark.parametrize(
    "document",
    [{}, {"error": "Exception"}, {"error": "Conflict"}, {"error": ["Conflict"], "message": "", "fields": {}}],
)
def test_an_answer_that_is_no_error_is_refused(document: Any) -> None:
    assert isinstance(from_document({"error": "Conflict", "message": "m", "fields": {}}), Conflict)
    with pytest.raises(Unreadable):
        from_document(document)
