"""PUT /v2/images/{id}/stage, and what can be done with an image whose data are staged."""

from collections.abc import Mapping
from typing import Any

from tests.parity.model import (
    ACCEPT_JSON,
    NOBODY,
    OCTETS,
    Case,
    Persona,
    Step,
    add,
    case,
    create,
    create_raw,
    delete,
    download,
    patch,
    put,
    request,
    show,
    show_when,
    upload,
)

_DATA = bytes(range(100))
_SIZE = "x-openstack-image-size"


def stage(
    data: bytes = b"0123456789abcdef",
    *,
    by: Persona = "demo",
    of: str = "id",
    headers: Mapping[str, str] | None = None,
    chunked: bool = False,
) -> Step:
    """Send data to be imported later."""
    named = {**OCTETS, **(headers or {})}
    return request("PUT", f"/v2/images/{{{of}}}/stage", by=by, headers=named, body=data, chunked=chunked)


def image_import(
    method: str,
    *,
    by: Persona = "demo",
    of: str = "id",
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> Step:
    """Begin an import; `parameters` are those of the method, `options` lie beside it."""
    body = {"method": {"name": method, **parameters}, **(options or {})}
    return request("POST", f"/v2/images/{{{of}}}/import", by=by, headers=headers, json_body=body)


CASES: tuple[Case, ...] = (
    case(
        "stage",
        create_raw(),
        stage(_DATA),
        show(),
        stage(_DATA),
        stage(_DATA, headers=ACCEPT_JSON),
        show(),
        download(),
        upload(_DATA),
        upload(_DATA, headers=ACCEPT_JSON),
        patch(put("/name", "new")),
        patch(put("/disk_format", "qcow2")),
        patch(add("/os_glance_import_task", "x")),
        patch(add("/os_glance_stage_host", "x")),
        show(),
        delete(),
        show(),
    ),
    case("stage in chunks", create_raw(), stage(_DATA, chunked=True), show()),
    case("stage nothing", create_raw(), stage(b""), show(), image_import("glance-direct"), show_when(status="active")),
    case("stage without formats", create(), stage(_DATA), show(), image_import("glance-direct"), show()),
    case("stage with an announced size", create_raw(), stage(_DATA, headers={_SIZE: "100"}), show()),
    *(
        case(f"stage with the announced size {value!r}", create_raw(), stage(_DATA, headers={_SIZE: value}), show())
        for value in ("99", "101", "abc", "-1")
    ),
    case(
        "stage what is no data",
        create_raw(),
        stage(headers={"Content-Type": "application/json"}),
        stage(headers={"Content-Type": "text/plain", **ACCEPT_JSON}),
        request("PUT", "/v2/images/{id}/stage", body=_DATA),
        show(),
    ),
    case("stage to a store", create_raw(), stage(headers={"X-Image-Meta-Store": "none"}), show()),
    case(
        "stage to nothing",
        request("PUT", f"/v2/images/{NOBODY}/stage", headers=OCTETS, body=_DATA),
        request("PUT", "/v2/images/abc/stage", headers={**OCTETS, **ACCEPT_JSON}, body=_DATA),
    ),
    case(
        "who may stage",
        create_raw(visibility="community"),
        stage(by="viewer"),
        stage(by="alt"),
        stage(by="anonymous"),
        stage(by="admin"),
        show(),
    ),
    case("who may stage to what they cannot see", create_raw(), stage(by="alt"), stage(by="alt", headers=ACCEPT_JSON)),
    case(
        "stage to an image that has data",
        create_raw(),
        upload(_DATA),
        stage(_DATA),
        stage(_DATA, headers=ACCEPT_JSON),
        show(),
    ),
    case("stage to a deleted image", create_raw(), delete(), stage(_DATA), stage(_DATA, headers=ACCEPT_JSON)),
    case(
        "delete what is staged and stage anew",
        create_raw(),
        stage(_DATA),
        delete(),
        stage(_DATA),
        create_raw(as_="b"),
        stage(_DATA, of="b"),
        show(of="b"),
    ),
    case(
        "other methods on stage and import",
        create_raw(),
        *(
            request(method, f"/v2/images/{{id}}/{what}")
            for what in ("stage", "import")
            for method in ("GET", "HEAD", "DELETE", "PATCH", "PUT" if what == "import" else "POST")
        ),
    ),
)
