"""Keystone's unified limits, all of them small.

A project may have 2 MiB stored and 1 MiB staged, four images, and one of them on its way.
"""

from tests.parity.cases.location_values import BLOB_URL
from tests.parity.model import (
    ACCEPT_JSON,
    NOBODY,
    OCTETS,
    Case,
    Persona,
    Step,
    Variant,
    case,
    create,
    create_raw,
    delete,
    get,
    request,
    show,
    show_when,
    upload,
)

_LIMITED: frozenset[Variant] = frozenset({"limits"})
_MIB = bytes(1024 * 1024)


def _usage(by: Persona = "demo") -> Step:
    return get("/v2/info/usage", by=by)


CASES: tuple[Case, ...] = (
    case(
        "usage beside limits",
        *(_usage(who) for who in ("demo", "viewer", "alt", "admin", "nova", "anonymous", "stranger")),
        create_raw(),
        _usage(),
        upload(_MIB + _MIB[1:]),
        _usage(),
        _usage("viewer"),
        _usage("alt"),
        delete(),
        _usage(),
        variants=_LIMITED,
    ),
    case(
        "the limit of images",
        create(as_="a"),
        create(as_="b"),
        create(as_="c"),
        create(as_="d"),
        _usage(),
        request("POST", "/v2/images", json_body={"name": "{uniq}"}),
        request("POST", "/v2/images", json_body={"name": "{uniq}"}, headers=ACCEPT_JSON),
        request("POST", "/v2/images", json_body={"name": "{uniq}", "owner": "{alt}"}),
        request("POST", "/v2/images", json_body={"visibility": "x"}),
        create(as_="e", by="alt"),
        delete(of="a"),
        create(as_="f"),
        _usage(),
        variants=_LIMITED,
    ),
    case(
        "whose images an admin makes",
        *(create(as_=name) for name in ("a", "b", "c", "d")),
        request(
            "POST", "/v2/images", by="admin", json_body={"name": "{uniq}", "owner": "{demo}"}, captures={"e": "id"}
        ),
        _usage(),
        _usage("admin"),
        variants=_LIMITED,
    ),
    case(
        "the limit of stored data",
        create_raw(as_="a"),
        upload(_MIB, of="a"),
        create_raw(as_="b"),
        upload(_MIB * 2, of="b"),
        show(of="b"),
        upload(_MIB * 2, of="b", headers=ACCEPT_JSON),
        upload(_MIB, of="b"),
        _usage(),
        create_raw(as_="c"),
        upload(_MIB, of="c"),
        upload(b"x", of="c", headers={"x-openstack-image-size": str(len(_MIB))}),
        upload(b"x", of="c", headers={"x-openstack-image-size": "-5"}),
        request("PUT", f"/v2/images/{NOBODY}/file", headers=OCTETS, body=_MIB),
        request("PUT", f"/v2/images/{NOBODY}/file", headers={**OCTETS, "X-Image-Meta-Store": "none"}, body=_MIB),
        request("PUT", f"/v2/images/{NOBODY}/file", headers={"Content-Type": "text/plain"}, body=_MIB),
        upload(_MIB[1:], of="c"),
        _usage(),
        variants=_LIMITED,
    ),
    case(
        "data of unknown length and the limit",
        create_raw(as_="a"),
        upload(_MIB * 3, of="a", chunked=True),
        show(of="a"),
        upload(_MIB * 2, of="a", chunked=True),
        show(of="a"),
        _usage(),
        variants=_LIMITED,
    ),
    case(
        "locations and limits",
        create_raw(as_="a"),
        upload(_MIB * 2, of="a"),
        create_raw(),
        request("POST", "/v2/images/{id}/locations", json_body={"url": BLOB_URL}),
        show_when(status="active"),
        _usage(),
        variants=_LIMITED,
    ),
)
