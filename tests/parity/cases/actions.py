"""POST …/actions/deactivate and reactivate, and the flags `os_hidden` and `protected` in every state."""

from tests.parity.cases.members import answer, share
from tests.parity.model import (
    ACCEPT_JSON,
    NOBODY,
    Case,
    Persona,
    Step,
    add,
    case,
    create,
    create_raw,
    delete,
    download,
    get,
    patch,
    put,
    remove,
    request,
    show,
    upload,
)

_WHO: tuple[Persona, ...] = (
    "viewer",
    "alt",
    "anonymous",
    "stranger",
    "service",
    "system",
    "domain",
    "unscoped",
    "demo",
    "admin",
    "nova",
)


def _act(action: str, by: Persona = "demo") -> Step:
    return request("POST", f"/v2/images/{{id}}/actions/{action}", by=by)


def _listed(query: str, by: Persona = "demo") -> Step:
    return get(f"/v2/images?lot={{uniq}}{query}", by=by)


CASES: tuple[Case, ...] = (
    case(
        "deactivate and reactivate",
        create_raw(lot="{uniq}"),
        upload(),
        _act("reactivate"),
        _act("deactivate"),
        show(),
        download(),
        download(by="admin"),
        download(by="viewer"),
        download(headers={"Range": "bytes=0-3"}),
        download(headers=ACCEPT_JSON),
        _act("deactivate"),
        upload(),
        _listed("&status=deactivated"),
        _listed("&status=active"),
        get("/v2/images/{id}/locations", by="nova"),
        get("/v2/images/{id}/locations", by="service"),
        patch(put("/name", "{uniq} b"), add("/p", "q")),
        patch(put("/disk_format", "qcow2")),
        request("PUT", "/v2/images/{id}/tags/t"),
        show(by="admin"),
        _act("reactivate"),
        show(),
        download(),
    ),
    *(
        case(
            f"who may {action}",
            create_raw(visibility=visibility),
            upload(),
            *([_act("deactivate", "admin")] if action == "reactivate" else []),
            *(_act(action, who) for who in _WHO),
            show(),
        )
        for action in ("deactivate", "reactivate")
        for visibility in ("community",)
    ),
    case(
        "who may act on what they cannot see",
        create_raw(visibility="private"),
        upload(),
        *(_act("deactivate", who) for who in ("alt", "service", "system", "domain", "unscoped")),
        *(_act("reactivate", who) for who in ("alt", "service", "system", "domain", "unscoped")),
        show(),
    ),
    case(
        "a member of a deactivated image",
        create_raw(lot="{uniq}"),
        upload(),
        share(),
        answer("accepted"),
        download(by="alt"),
        _act("deactivate", "alt"),
        _act("deactivate"),
        show(by="alt"),
        download(by="alt"),
        share("third"),
        _act("reactivate", "alt"),
        _act("reactivate", "admin"),
        download(by="alt"),
    ),
    case(
        "actions on a queued image", create_raw(), _act("deactivate"), _act("reactivate"), _act("deactivate", "admin")
    ),
    case(
        "actions on a deleted image",
        create_raw(),
        upload(),
        delete(),
        _act("deactivate"),
        _act("reactivate", "admin"),
        request("POST", f"/v2/images/{NOBODY}/actions/deactivate"),
        request("POST", f"/v2/images/{NOBODY}/actions/reactivate", headers=ACCEPT_JSON),
    ),
    case(
        "delete a deactivated image", create_raw(), upload(), _act("deactivate"), delete(), show(), download(by="admin")
    ),
    case(
        "a protected image that is deactivated",
        create_raw(protected=True),
        upload(),
        _act("deactivate"),
        delete(),
        delete(by="admin"),
        patch(put("/protected", False)),
        delete(),
    ),
    case(
        "an action that is none",
        create(),
        _act("activate"),
        _act(""),
        *(
            request(method, "/v2/images/{id}/actions/deactivate")
            for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD")
        ),
        *(request(method, "/v2/images/{id}/actions/reactivate") for method in ("GET", "PUT")),
        request("POST", "/v2/images/{id}/actions/deactivate", json_body={}),
        request("POST", "/v2/images/{id}/actions/reactivate", body=b"x", chunked=True),
    ),
    case(
        "hidden in every state",
        create_raw(lot="{uniq}"),
        *(
            step
            for change in (upload(), _act("deactivate"), _act("reactivate"))
            for step in (
                patch(put("/os_hidden", True)),
                _listed(""),
                _listed("&os_hidden=true"),
                _listed("&os_hidden=false"),
                show(by="viewer"),
                patch(put("/os_hidden", False)),
                change,
            )
        ),
        patch(add("/os_hidden", True)),
        download(),
        share(),
        answer("accepted"),
        _listed("", "alt"),
        _listed("&os_hidden=true", "alt"),
        show(by="alt"),
        download(by="alt"),
        patch(remove("/os_hidden")),
        *(patch(put("/os_hidden", value)) for value in ("true", 1, None, "")),
        *(_listed(f"&os_hidden={value}") for value in ("True", "1", "", "all")),
        *(patch(put("/os_hidden", True), by=who) for who in ("viewer", "alt", "admin")),
        delete(),
    ),
    case(
        "hidden from the start",
        create(os_hidden=True, visibility="community", lot="{uniq}"),
        *(_listed(f"&visibility=community{q}", "alt") for q in ("", "&os_hidden=true")),
        show(by="alt"),
        create(os_hidden="true"),
        create(os_hidden=None),
    ),
    case(
        "protected in every state",
        create_raw(protected=True, lot="{uniq}"),
        delete(),
        delete(by="admin"),
        delete(by="alt"),
        delete(by="viewer"),
        upload(),
        delete(),
        patch(put("/name", "{uniq} c"), add("/p", "q")),
        request("PUT", "/v2/images/{id}/tags/t"),
        share(),
        _listed("&protected=true"),
        _listed("&protected=false"),
        _listed("&protected=True"),
        _act("deactivate"),
        delete(),
        _act("reactivate"),
        patch(remove("/protected")),
        *(patch(put("/protected", value)) for value in ("false", 0, None)),
        *(patch(put("/protected", False), by=who) for who in ("viewer", "alt")),
        delete(by="alt"),
        patch(put("/protected", False), by="admin"),
        delete(by="viewer"),
        delete(),
        delete(),
    ),
    case("protected as nonsense", create(protected="yes"), create(protected=1), create(protected=None)),
)
