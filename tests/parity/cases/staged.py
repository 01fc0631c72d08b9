"""What stores and limits say of data that are staged or being copied."""

from tests.parity.cases.location_values import at
from tests.parity.model import (
    ACCEPT_JSON,
    OCTETS,
    Case,
    Persona,
    Step,
    Variant,
    add,
    case,
    create_raw,
    delete,
    download,
    get,
    patch,
    put,
    remove,
    request,
    show,
    show_when,
    upload,
)

_SHOWN: frozenset[Variant] = frozenset({"locations"})
_LIMITED: frozenset[Variant] = frozenset({"limits"})
_MIB = bytes(1024 * 1024)


def _usage(by: Persona = "demo") -> Step:
    return get("/v2/info/usage", by=by)


def _stage(data: bytes = b"0123456789abcdef", *, of: str = "id", by: Persona = "demo") -> Step:
    return request("PUT", f"/v2/images/{{{of}}}/stage", by=by, headers=OCTETS, body=data)


def _delete_from(store: str, *, by: Persona = "admin", of: str = "id", as_json: bool = False) -> Step:
    return request("DELETE", f"/v2/stores/{store}/{{{of}}}", by=by, headers=ACCEPT_JSON if as_json else {})


def _preferring(stores: str, by: Persona = "demo") -> Step:
    return request("GET", f"/v2/images/{{id}}/file?prefer={stores}", by=by)


_copy_to_second = request(
    "POST",
    "/v2/images/{id}/import",
    by="admin",
    json_body={"method": {"name": "copy-image"}, "stores": ["second"]},
)

CASES: tuple[Case, ...] = (
    case(
        "delete from a store in other states",
        create_raw(),
        request("PUT", "/v2/images/{id}/stage", headers=OCTETS, body=b"0123456789abcdef"),
        _delete_from("file"),
        delete(),
        _delete_from("file"),
    ),
    case(
        "delete one of two stores",
        create_raw(),
        upload(),
        _copy_to_second,
        show_when(stores="file,second"),
        _delete_from("web"),
        _delete_from("file", by="demo"),
        _delete_from("file"),
        show(),
        download(),
        _delete_from("second"),
        _delete_from("file"),
        delete(),
        _delete_from("second"),
    ),
    case(
        "delete the other of two stores",
        create_raw(),
        upload(),
        _copy_to_second,
        show_when(stores="file,second"),
        _delete_from("second"),
        show(),
        download(),
    ),
    case(
        "prefer one of two stores",
        create_raw(),
        upload(),
        _copy_to_second,
        show_when(stores="file,second"),
        *(
            _preferring(stores)
            for stores in ("second", "file", "web", "second,file", "%20second%20,", ",", "web,second")
        ),
        _preferring("second", by="viewer"),
        _preferring("second", by="alt"),
        _preferring("second", by="admin"),
    ),
    case(
        "locations in other states",
        create_raw(),
        request("PUT", "/v2/images/{id}/stage", headers=OCTETS, body=b"0123456789abcdef"),
        patch(add("/locations/-", at())),
        patch(put("/locations", [at()])),
        patch(remove("/locations/0"), by="admin"),
        patch(remove("/locations/0")),
        variants=_SHOWN,
    ),
    case(
        "the limit of uploads",
        create_raw(as_="a"),
        create_raw(as_="b"),
        _stage(of="a"),
        _usage(),
        upload(of="b"),
        upload(of="b", headers=ACCEPT_JSON),
        show(of="b"),
        _stage(of="b"),
        show(of="b"),
        delete(of="a"),
        upload(of="b"),
        _usage(),
        variants=_LIMITED,
    ),
    case(
        "the limit of staged data",
        create_raw(as_="a"),
        _stage(_MIB * 2, of="a"),
        show(of="a"),
        _stage(_MIB, of="a"),
        _usage(),
        create_raw(as_="b"),
        _stage(_MIB, of="b"),
        show(of="b"),
        variants=_LIMITED,
    ),
)
