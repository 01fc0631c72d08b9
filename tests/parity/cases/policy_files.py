"""A policy file that says otherwise than the defaults, and property protections by its rules. See guards.py."""

from typing import Any

from tests.parity.cases.members import answer, share, unshare
from tests.parity.model import (
    Case,
    Persona,
    Step,
    Variant,
    add,
    case,
    create,
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

_POLICIES: frozenset[Variant] = frozenset({"policies"})
_PROPERTIES = ("secret_a", "managed_a", "sealed", "any_a", "unruled")
_MAKERS: tuple[Persona, ...] = ("demo", "admin")
_SEERS: tuple[Persona, ...] = ("demo", "viewer", "alt", "admin", "nova", "service")
_WHO: tuple[Persona, ...] = ("demo", "viewer", "alt", "admin", "service", "system", "domain")


def _case(name: str, *steps: Step) -> Case:
    return case(name, *steps, variants=_POLICIES)


def _made(*, by: Persona = "demo", as_: str = "id", **attributes: Any) -> Step:
    defaults = {"disk_format": "raw", "container_format": "bare", "lot": "{uniq}"}
    return create(by=by, as_=as_, **{**defaults, **attributes})


def _listed(query: str = "", by: Persona = "demo") -> Step:
    return get(f"/v2/images?lot={{uniq}}{query}", by=by)


def _act(action: str, by: Persona = "demo") -> Step:
    return request("POST", f"/v2/images/{{id}}/actions/{action}", by=by)


CASES: tuple[Case, ...] = (
    _case(
        "an image that the policy hides from its owner",
        _made(veiled="yes"),
        show(),
        show(by="admin"),
        _listed(),
        _listed(by="admin"),
        patch(put("/name", "x")),
        upload(),
        download(),
        delete(),
        request("PUT", "/v2/images/{id}/tags/t"),
        request("DELETE", "/v2/images/{id}/tags/t"),
        share(),
        get("/v2/images/{id}/members"),
        get("/v2/images/{id}/locations"),
        _act("deactivate"),
        _act("reactivate"),
        show(by="system"),
        show(by="service"),
    ),
    _case(
        "a page whose rows the policy hides",
        _made(name="{uniq} 1", veiled="yes"),
        _made(name="{uniq} 2", as_="b"),
        _made(name="{uniq} 3", as_="c", veiled="yes"),
        *(_listed(f"&sort=name:asc&limit={n}") for n in (1, 2, 3, 4)),
        _listed("&sort=name:asc&limit=1&marker={id}"),
        _listed("&sort=name:asc&limit=1&marker={b}"),
    ),
    _case("who may list", _made(visibility="public"), *(_listed(by=by) for by in _WHO)),
    _case("who may show", _made(visibility="public"), *(show(by=by) for by in _WHO)),
    _case(
        "an image locked against changes",
        _made(lock="modify"),
        patch(put("/name", "x")),
        patch(remove("/lock")),
        request("PUT", "/v2/images/{id}/tags/t"),
        upload(),
        download(),
        patch(put("/lock", "download"), by="admin"),
        patch(put("/name", "x")),
        download(),
        download(by="admin"),
        patch(put("/lock", "upload")),
        delete(),
        patch(put("/lock", "no")),
        download(),
        delete(by="viewer"),
        delete(),
    ),
    _case(
        "an image locked against data", _made(lock="upload"), upload(), upload(by="viewer"), upload(by="admin"), show()
    ),
    _case("an image that is not locked", _made(), delete(), upload(), download(), delete(by="admin")),
    _case(
        "visibility by the file",
        _made(visibility="public"),
        _made(as_="b", visibility="community"),
        _made(by="admin", as_="c", visibility="community"),
        _made(by="viewer", as_="d"),
        patch(put("/visibility", "private")),
        patch(put("/visibility", "community")),
        patch(put("/visibility", "public")),
        patch(put("/visibility", "public"), by="alt"),
    ),
    _case(
        "members by the file",
        _made(),
        share(by="admin"),
        share(by="viewer"),
        share("b"),
        share("c"),
        *(get("/v2/images/{id}/members", by=by) for by in _WHO),
        *(get("/v2/images/{id}/members/{alt}", by=by) for by in _WHO),
        answer("accepted", by="demo"),
        answer("accepted"),
        answer("accepted", "b", "admin"),
        answer("accepted", "c", "viewer"),
        unshare("b", "viewer"),
        unshare("b", "admin"),
        unshare("b"),
        unshare(by="alt"),
        show(by="alt"),
    ),
    _case(
        "actions by the file",
        _made(),
        upload(),
        _act("deactivate"),
        _act("reactivate"),
        _act("deactivate", "admin"),
        _act("reactivate", "viewer"),
        _act("reactivate", "alt"),
        _act("reactivate"),
        _act("deactivate", "system"),
        show(),
    ),
    _case(
        "locations by the file",
        _made(),
        upload(),
        *(get("/v2/images/{id}/locations", by=by) for by in _SEERS),
    ),
    _case(
        "properties by the file",
        *(_made(by=by, as_=f"{by}_{name}", **{name: "x"}) for by in _MAKERS for name in _PROPERTIES),
    ),
    _case(
        "properties seen by the file",
        _made(by="admin", owner="{demo}", visibility="public", secret_a="1", managed_a="2", sealed="3"),
        *(show(by=by) for by in _SEERS),
        *(_listed(by=by) for by in _SEERS[::3]),
    ),
    *(
        _case(
            f"by the file {by} changes {name}",
            _made(by="admin", owner="{demo}", secret_a="1", managed_a="2", sealed="3"),
            patch(add(f"/{name}", "4"), by=by),
            patch(put(f"/{name}", "5"), by=by),
            patch(remove(f"/{name}"), by=by),
            show(by="admin"),
            show(),
        )
        for by in _MAKERS
        for name in _PROPERTIES
    ),
    _case(
        "no quota of members",
        _made(),
        *(share(name) for name in ("a", "b", "c", "d")),
        get("/v2/images/{id}/members"),
    ),
)
