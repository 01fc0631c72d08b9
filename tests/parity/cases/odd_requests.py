"""Requests that are right by the letter and that no client of today sends: what a proxy or a careless script makes."""

from typing import Any

from tests.parity.cases.importing import tasks_of
from tests.parity.cases.staging import image_import, stage
from tests.parity.model import (
    JSON,
    PATCH_V20,
    Case,
    Step,
    add,
    case,
    create,
    create_raw,
    download,
    get,
    patch,
    put,
    remove,
    request,
    show,
    show_when,
)

_LONG = "\U0001f600"
"""A letter that UTF-8 has four bytes for."""
_OWN = "/v2/images?lot={uniq}"
_LOT = create(lot="{uniq}", tags=["x", "y"])
_TAG = "/v2/images/{id}/tags"


def _list(*queries: str) -> tuple[Step, ...]:
    return tuple(get(f"{_OWN}&{query}") for query in queries)


def _post(document: Any, number: int) -> Step:
    return request("POST", "/v2/images", json_body=document, captures={f"made{number}": "id"})


CASES: tuple[Case, ...] = (
    case(
        "slashes and dots in a path",
        create(),
        *(
            get(path)
            for path in (
                "//v2///images//{id}",
                "/v2/images//{id}",
                "/v2/images/%2F{id}",
                "/v2/images%2F%2F{id}",
                "/v2/./images/{id}",
                "/v2/x/../images/{id}",
                "/v2/images/{id}/.",
                "/v2/images/x/%2E%2E/{id}",
                "/v2/images/{id}//file",
                "/v2/images/{id}/file/../file",
                "/v2/images/{id}/file/..",
            )
        ),
        *(
            request("PUT", f"{_TAG}/{tag}")
            for tag in ("/a", "%2Fb", "./c", "..", "%2E%2E", ".", "%2E", "d%2F%2Fe", ".f", "..g", "x/../h")
        ),
        show(),
    ),
    case("a line feed ends a path", create(), get("/v2/images/{id}%0A")),
    case(
        "semicolons between parameters",
        _LOT,
        get("/v2/images?lot={uniq};name=none"),
        get("/v2/images?lot={uniq};;"),
        get("/v2/images?lot={uniq}%3Bname=none"),
        get("/v2/images?limit=1;lot={uniq};sort=name:asc"),
        get("/v2/images/{id};x=y"),
    ),
    case(
        "numbers that no column holds",
        _LOT,
        *_list(*(f"{name}={10**20}" for name in ("size", "size_max", "size_min", "min_disk_max", "min_ram_min"))),
        *_list(*(f"{name}=-{10**20}" for name in ("size", "size_max", "min_ram_max", "min_disk_min"))),
    ),
    case("sorted twice", _LOT, *_list("sort=name:asc&sort=id:asc", "sort=name:asc&sort=")),
    case(
        "filters by what an image only seems to have",
        _LOT,
        *_list("locations=x", "properties=x", "lot_min=1", "_max=1", "tags=x"),
    ),
    case(
        "times at the ends of the calendar",
        _LOT,
        *_list(
            "created_at=gt:0001-01-01T00:00:00Z",
            "created_at=lt:9999-12-31T23:59:59Z",
            "created_at=gt:0001-01-01T00:00:00%2B14:00",
            "updated_at=lt:9999-12-31T23:59:59-14:00",
        ),
    ),
    case(
        "an Accept that is none",
        *(
            get("/v2/images/{uuid}", headers={"Accept": kind})
            for kind in (
                "junk",
                "text/html;q=junk",
                "application/json;q=2, text/plain",
                "application/json; charset=utf-8",
                "application/json;q=0.5;level=1, text/html;q=0.4",
            )
        ),
    ),
    case(
        "letters of four bytes",
        create(custom="v"),
        *(
            _post(document, number)
            for number, document in enumerate(
                ({"name": _LONG}, {"custom": _LONG}, {_LONG: "v"}, {_LONG: None}, {"tags": ["t", _LONG]})
            )
        ),
        request("POST", "/v2/images", by="admin", json_body={"owner": _LONG}, captures={"owned": "id"}),
        *(
            patch(operation)
            for operation in (
                put("/name", _LONG),
                put("/custom", _LONG),
                add("/custom", _LONG),
                add("/other", _LONG),
                add(f"/{_LONG}", "v"),
                put(f"/{_LONG}", "v"),
                remove(f"/{_LONG}"),
                put("/tags", [_LONG]),
            )
        ),
        patch({"add": "/other", "value": _LONG}, headers=PATCH_V20),
        patch(put("/owner", _LONG), by="admin"),
        patch(add("/later", "v"), add("/wrong", _LONG)),
        show(),
    ),
    case(
        "a NUL in a text",
        create(custom="v"),
        _post({"name": "a\0"}, 0),
        _post({"custom": "a\0"}, 1),
        _post({"a\0": "v"}, 2),
        patch(put("/custom", "\0")),
        get("/v2/images?name=%00"),
    ),
    case(
        "custom properties with names of Glance's own",
        create(),
        *(patch(operation) for name in ("/base", "/image_id") for operation in (add(name, "v"), remove(name))),
        show(),
    ),
    case(
        "wrong methods with bodies that are no JSON",
        create(),
        *(request("POST", f"/v2/images/{{id}}{path}", headers=JSON, body=b"x") for path in ("", "/file", "/stage")),
        request("PUT", "/v2/images", headers=JSON, body=b"x"),
        request("PUT", "/v2/images", headers=JSON, body=b"{}"),
    ),
    case(
        "a store that is named twice",
        create_raw(),
        stage(b"abc"),
        image_import("glance-direct", options={"stores": ["second", "second"]}),
        show_when(status="active"),
        download(),
    ),
    *(
        case(
            f"web-download with blanks: {uri!r}",
            create_raw(),
            image_import("web-download", uri=uri),
            show_when(status="active"),
            tasks_of(),
        )
        for uri in ("{origin}/blob ", " {origin}/blob", "{origin}/blob\n")
    ),
)
