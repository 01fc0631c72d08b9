"""Requests that an audit of Glance's source found to be answered otherwise: one case for each kind."""

from dataclasses import replace
from typing import Any

from tests.parity.cases.staging import image_import
from tests.parity.model import (
    NOBODY,
    PATCH_V20,
    Case,
    Step,
    add,
    case,
    create,
    create_raw,
    get,
    patch,
    put,
    remove,
    request,
    show,
    show_when,
    upload,
)

_LONG = "x" * 256
_OWN = "/v2/images?lot={uniq}"
_NAMESPACE = "/v2/metadefs/namespaces/{uniq}-Abc"


def _named(text: str) -> str:
    """A header's value whose bytes are the UTF-8 of `text`."""
    return text.encode().decode("latin-1")


def _task(**task_input: Any) -> Step:
    """An import into the task's image; `task_input` is laid over a usable one."""
    usable = {"import_from": "{origin}/blob", "import_from_format": "raw", "image_properties": {"name": "{uniq}"}}
    document = {name: value for name, value in {**usable, **task_input}.items() if value is not ...}
    return request(
        "POST", "/v2/tasks", by="admin", json_body={"type": "import", "input": document}, captures={"task": "id"}
    )


def _failed() -> Step:
    return replace(get("/v2/tasks/{task}", by="admin"), until={"status": "failure"})


CASES: tuple[Case, ...] = (
    case(
        "request ids that are no ASCII",
        *(
            get("/v2/schemas/member", headers={"X-OpenStack-Request-ID": value})
            for value in (
                *map(_named, ("é", "req-日本", "é" * 32, "é" * 33)),
                "\xe9",
                "a\tb",
                _named("a\x85b"),
                _named("\u202ea"),
                _named("\U0001f600"),
            )
        ),
    ),
    *(
        case(f"a task whose image has {name}", _task(image_properties=value), _failed())
        for name, value in (
            ("a list of properties", []),
            ("no properties", {}),
            ("no properties at all", ...),
            ("a number for its name", {"name": 5}),
            ("no such format", {"disk_format": "x"}),
            ("places", {"locations": []}),
        )
    ),
    case(
        "tasks with sources of other types",
        _task(import_from=5),
        _task(import_from=[]),
        _task(import_from=...),
        _task(import_from_format=...),
        _task(import_from_format=5),
    ),
    case(
        "names that are too long for a property",
        create(),
        patch(put(f"/{_LONG}", "v")),
        patch(remove(f"/{_LONG}")),
        patch({"replace": f"/{_LONG}", "value": "v"}, headers=PATCH_V20),
        patch({"remove": f"/{_LONG}"}, headers=PATCH_V20),
        patch(add(f"/{_LONG}", "v"), remove(f"/{_LONG}")),
        patch(put("/x", "w"), add(f"/{_LONG}", "v")),
        patch(add(f"/{_LONG}", "v"), put(f"/{_LONG}", "w")),
        patch(add(f"/{_LONG}", 5)),
        show(),
    ),
    case(
        "images found by letters of another case",
        create(lot="{uniq}", name="Foo", tags=["Ab"], Color="Red"),
        *(get(f"{_OWN}&{query}") for query in ("name=foo", "name=in:foo,x", "tag=ab", "Color=red", "status=QUEUED")),
        request("DELETE", "/v2/images/{id}/tags/AB"),
        patch(put("/color", "x")),
    ),
    case(
        "members by letters of another case",
        create(),
        request("POST", "/v2/images/{id}/members", json_body={"member": "Abc"}),
        get("/v2/images/{id}/members/ABC"),
        request("DELETE", "/v2/images/{id}/members/ABC"),
        get("/v2/images/{id}/members/Abc"),
    ),
    case(
        "definitions by letters of another case",
        request("POST", "/v2/metadefs/namespaces", by="admin", json_body={"namespace": "{uniq}-Abc"}),
        request("POST", f"{_NAMESPACE}/tags/Tag", by="admin"),
        get(_NAMESPACE.upper().replace("V2/METADEFS/NAMESPACES/{UNIQ}", "v2/metadefs/namespaces/{uniq}"), by="admin"),
        get(f"{_NAMESPACE}/tags/TAG", by="admin"),
        request("DELETE", _NAMESPACE, by="admin"),
    ),
    case(
        "images by parameters that come twice",
        create(lot="{uniq}"),
        *(
            get(f"{_OWN}&{query}")
            for query in (
                "visibility=private&visibility=shared",
                "visibility=x&visibility=shared",
                "visibility=shared&visibility=x",
                "visibility=",
                "member_status=x&member_status=all",
                "member_status=all&member_status=x&limit=0",
                "marker=x&marker={id}",
                "marker={id}&marker=x",
                "updated_at_min=0",
            )
        ),
    ),
    case(
        "tasks by parameters that come twice",
        *(
            get(f"/v2/tasks?image_id={NOBODY}&{query}", by="admin")
            for query in (
                "limit=1&limit=x",
                "limit=x&limit=1",
                "sort_dir=asc&sort_dir=up",
                "sort_dir=up&sort_dir=asc",
                "sort_key=zz&sort_key=id",
                "limit=%2B1",
                "limit=1_0",
                "limit=99999999999999999999",
            )
        ),
    ),
    case(
        "namespaces by parameters that come twice",
        request(
            "POST", "/v2/metadefs/namespaces", by="admin", json_body={"namespace": "{uniq}-Abc", "visibility": "public"}
        ),
        request("POST", f"{_NAMESPACE}/resource_types", by="admin", json_body={"name": "{uniq}"}),
        *(
            get(f"/v2/metadefs/namespaces?resource_types={{uniq}}&{query}")
            for query in (
                "visibility=public&visibility=private",
                "visibility=private&visibility=public",
                "visibility=x&visibility=public",
                "visibility=public&visibility=x",
            )
        ),
        request("DELETE", _NAMESPACE, by="admin"),
    ),
    case(
        "wrong values by who may create nothing",
        *(
            request("POST", "/v2/images", by="viewer", json_body=document)
            for document in ({"min_disk": -1}, {"min_ram": 2**31}, {"x": "\U0001f600"}, {"id": "x"}, {"owner": "{alt}"})
        ),
        request("POST", "/v2/images", by="admin", json_body={"owner": ""}, captures={"id": "id"}),
        show(by="admin"),
    ),
    case(
        "stores that Glance keeps for itself",
        create_raw(),
        upload(headers={"X-Image-Meta-Store": "os_glance_staging_store"}),
        upload(headers={"x-openstack-image-size": "99999999999999999999"}),
        upload(),
        request("DELETE", "/v2/stores/os_glance_staging_store/{id}", by="admin"),
    ),
    case(
        "an import into no store",
        create_raw(),
        image_import("web-download", uri="{origin}/blob", options={"stores": []}),
        show_when(status="queued"),
        get("/v2/images/{id}/tasks"),
    ),
)
