"""/v2/tasks and the tasks of an image."""

from dataclasses import replace
from typing import Any

from tests.parity.cases.staging import image_import
from tests.parity.model import ACCEPT_JSON, NOBODY, Case, Step, case, create_raw, get, request, show, show_when

_SORT_KEYS = ("created_at", "updated_at", "status", "type", "image_id", "owner", "expires_at", "color", "")


def _listed(query: str) -> Step:
    """A list of tasks by the admin; of those of the case's images alone unless the query is bad."""
    return get(f"/v2/tasks?{query}", by="admin")


_ONE = "image_id={id}"

_BAD_BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"type": "import"},
    {"input": {}},
    {"type": "none", "input": {}},
    {"type": "import", "input": "x"},
    {"type": "import", "input": {}},
    {"type": "import", "input": {"import_from": "file:///etc/passwd"}},
    {"type": "import", "input": {"import_from": "junk"}},
    {"type": "import", "input": {"import_from": "http://169.254.169.254/x"}},
)

CASES: tuple[Case, ...] = (
    case(
        "tasks of an import",
        create_raw(),
        get("/v2/images/{id}/tasks"),
        image_import("web-download", uri="{origin}/blob"),
        show_when(status="active"),
        request("GET", "/v2/images/{id}/tasks", captures={"task": "tasks.0.id"}),
        get("/v2/tasks/{task}", by="admin"),
        get("/v2/tasks/{task}"),
        get("/v2/tasks/{task}", by="viewer"),
        get("/v2/tasks/{task}", by="anonymous"),
        get("/v2/tasks/{task}", by="stranger"),
        request("DELETE", "/v2/tasks/{task}", by="admin"),
        request("DELETE", "/v2/tasks/{task}", by="admin", headers=ACCEPT_JSON),
        request("DELETE", "/v2/tasks/{task}"),
        request("PUT", "/v2/tasks/{task}", by="admin"),
        request("PATCH", "/v2/tasks/{task}", by="admin"),
        request("POST", "/v2/tasks/{task}", by="admin"),
        request("HEAD", "/v2/tasks/{task}", by="admin"),
        _listed(_ONE),
        _listed(f"{_ONE}&status=success"),
        _listed(f"{_ONE}&status=failure"),
        _listed(f"{_ONE}&type=import"),
        _listed(f"{_ONE}&limit=1"),
        _listed(f"{_ONE}&limit=1&marker={{task}}"),
        _listed(f"{_ONE}&limit=0"),
        _listed(f"{_ONE}&limit=5&sort_dir=asc&sort_key=status"),
        _listed(f"{_ONE}&color=red"),
        _listed(f"{_ONE}&owner={{demo}}"),
        _listed(f"{_ONE}&owner={{alt}}"),
    ),
    case(
        "tasks of several imports",
        create_raw(),
        image_import("web-download", uri="{origin}/missing"),
        show_when(os_glance_failed_import="file"),
        image_import("web-download", uri="{origin}/blob"),
        show_when(status="active"),
        _listed(_ONE),
        *(_listed(f"{_ONE}&sort_key={key}") for key in _SORT_KEYS),
        _listed(f"{_ONE}&sort_dir=asc"),
        _listed(f"{_ONE}&limit=1&sort_dir=asc"),
    ),
    case(
        "lists of tasks that are refused",
        *(
            _listed(query)
            for query in (
                "status=none",
                "status=",
                "type=api_image_import",
                "type=none",
                "limit=-1",
                "limit=abc",
                "limit=1.5",
                "limit=",
                "marker=abc",
                f"marker={NOBODY}",
                "marker=",
                "sort_dir=up",
                "sort_dir=",
            )
            if not query.endswith("=") or query in ("sort_dir=", "limit=")
        ),
        get("/v2/tasks?limit=abc", by="admin", headers=ACCEPT_JSON),
    ),
    case(
        "who may list tasks",
        *(get("/v2/tasks", by=persona) for persona in ("demo", "viewer", "alt", "anonymous", "stranger")),
        get("/v2/tasks", headers=ACCEPT_JSON),
        get("/v2/tasks?limit=-1"),
    ),
    case(
        "tasks that are not there",
        get(f"/v2/tasks/{NOBODY}", by="admin"),
        get("/v2/tasks/abc", by="admin", headers=ACCEPT_JSON),
        get(f"/v2/tasks/{NOBODY}"),
        request("DELETE", f"/v2/tasks/{NOBODY}", by="admin"),
        request("DELETE", f"/v2/tasks/{NOBODY}"),
        get(f"/v2/images/{NOBODY}/tasks"),
        get("/v2/images/abc/tasks", headers=ACCEPT_JSON),
    ),
    case(
        "other methods on tasks",
        create_raw(),
        *(request(method, "/v2/tasks", by="admin") for method in ("PUT", "PATCH", "DELETE", "HEAD")),
        *(request(method, "/v2/images/{id}/tasks") for method in ("PUT", "PATCH", "DELETE", "HEAD", "POST")),
        request("GET", "/v2/images/{id}/tasks", body=b"x"),
        request("GET", "/v2/tasks?type=none", by="admin", body=b"x"),
    ),
    case(
        "tasks that nobody may create",
        *(
            request("POST", "/v2/tasks", by=persona, json_body={"type": "import", "input": {}})
            for persona in ("demo", "viewer", "anonymous")
        ),
    ),
    case(
        "tasks that are created badly",
        *(request("POST", "/v2/tasks", by="admin", json_body=body) for body in _BAD_BODIES),
        request("POST", "/v2/tasks", by="admin"),
        request("POST", "/v2/tasks", by="admin", json_body={}, headers=ACCEPT_JSON),
    ),
    case(
        "a task that imports",
        request(
            "POST",
            "/v2/tasks",
            by="admin",
            json_body={
                "type": "import",
                "input": {
                    "import_from": "{origin}/blob",
                    "import_from_format": "raw",
                    "image_properties": {"name": "{uniq}", "disk_format": "raw", "container_format": "bare"},
                },
            },
            captures={"task": "id"},
        ),
        replace(get("/v2/tasks/{task}", by="admin"), until={"status": "success"}),
    ),
    case("tasks of an image that was never imported", create_raw(), get("/v2/images/{id}/tasks"), show()),
)
