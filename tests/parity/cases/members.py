"""/v2/images/{id}/members: who shares an image with whom, and what the other makes of it."""

from typing import Any

from tests.parity.model import (
    ACCEPT_JSON,
    JSON,
    NOBODY,
    Case,
    Persona,
    Step,
    case,
    create,
    create_raw,
    delete,
    download,
    get,
    patch,
    put,
    request,
    show,
    upload,
)

_STATUSES = ("pending", "accepted", "rejected")
_POWERLESS: tuple[Persona, ...] = ("anonymous", "service", "system", "domain", "unscoped")
_OTHERS: tuple[Persona, ...] = ("viewer", "alt", *_POWERLESS)
_READERS: tuple[Persona, ...] = ("viewer", "alt", "admin", *_POWERLESS)
_ANSWERERS: tuple[Persona, ...] = ("demo", "viewer", *_POWERLESS[:-1])
_LISTERS: tuple[Persona, ...] = ("demo", "viewer", "admin", "service")
_NOT_SHARED: tuple[tuple[str, Persona], ...] = (("private", "demo"), ("community", "demo"), ("public", "admin"))


def index(by: Persona = "demo") -> Step:
    """The image's members."""
    return get("/v2/images/{id}/members", by=by)


def share(member: Any = "{alt}", by: Persona = "demo") -> Step:
    """Make `member` a member of the image."""
    return request("POST", "/v2/images/{id}/members", by=by, json_body={"member": member})


def member(name: str = "{alt}", by: Persona = "demo") -> Step:
    """One member of the image."""
    return get(f"/v2/images/{{id}}/members/{name}", by=by)


def answer(status: Any, name: str = "{alt}", by: Persona = "alt") -> Step:
    """The member accepts, rejects, or says something else."""
    return request("PUT", f"/v2/images/{{id}}/members/{name}", by=by, json_body={"status": status})


def unshare(name: str = "{alt}", by: Persona = "demo") -> Step:
    """Remove a member."""
    return request("DELETE", f"/v2/images/{{id}}/members/{name}", by=by)


def _listed(query: str = "", by: Persona = "alt") -> Step:
    return get(f"/v2/images?lot={{uniq}}{query}", by=by)


def _bad_body(number: int, body: bytes) -> Case:
    return case(
        f"a member in a bad body {number}",
        create(),
        request("POST", "/v2/images/{id}/members", headers=JSON, body=body),
        request("PUT", "/v2/images/{id}/members/{alt}", by="alt", headers=JSON, body=body),
        index(),
    )


_BODIES = (
    b"",
    b"{",
    b"[]",
    b'["member"]',
    b'"{alt}"',
    b"{}",
    b'{"member": "", "status": ""}',
    b'{"member": null, "status": null}',
    b'{"member": 0}',
    b'{"members": "{alt}", "state": "accepted"}',
)

CASES: tuple[Case, ...] = (
    case(
        "the life of a member",
        create_raw(lot="{uniq}"),
        upload(),
        index(),
        member(),
        member(by="alt"),
        share(),
        index(),
        member(),
        index("alt"),
        member(by="alt"),
        show(by="alt"),
        download(by="alt"),
        _listed(),
        answer("accepted"),
        index(),
        _listed(),
        answer("accepted"),
        answer("rejected"),
        _listed(),
        _listed("&member_status=rejected"),
        answer("pending"),
        index("alt"),
        unshare(),
        index(),
        index("alt"),
        member(),
        member(by="alt"),
        show(by="alt"),
        unshare(),
        answer("accepted"),
    ),
    case(
        "a member who comes back has not answered",
        create(lot="{uniq}"),
        share(),
        answer("accepted"),
        _listed(),
        unshare(),
        share(),
        index(),
        _listed(),
        _listed("&member_status=all"),
        unshare(),
        share(),
        unshare(),
        index(),
    ),
    case("a member twice", create(), share(), share(), index(), answer("accepted"), share(), index()),
    case(
        "several members",
        create(),
        share("{admin}"),
        share("{alt}"),
        share("third"),
        index(),
        index("alt"),
        index("admin"),
        index("viewer"),
        member("third", "alt"),
        member("third", "admin"),
        member("{admin}", "alt"),
        answer("accepted", "third"),
        answer("accepted", "third", "admin"),
        unshare("third", "alt"),
        unshare("{alt}", "alt"),
        unshare("third", "admin"),
        index(),
    ),
    case(
        "who may add a member",
        create(),
        *(share(by=who) for who in _OTHERS),
        share(by="admin"),
        share("third", by="nova"),
        share("other", by="alt"),
        index(),
    ),
    case(
        "who may answer",
        create(),
        share(),
        *(answer("accepted", by=who) for who in _ANSWERERS),
        index(),
        answer("rejected", by="alt"),
        answer("accepted", by="admin"),
        answer("pending", by="nova"),
        index(),
    ),
    case(
        "who may look at members",
        create(),
        share(),
        *(index(who) for who in _READERS),
        *(member(by=who) for who in _READERS[:-1]),
    ),
    case(
        "who may remove a member",
        create(),
        share(),
        *(unshare(by=who) for who in _OTHERS),
        index(),
        unshare(by="admin"),
        index(),
    ),
    case("the owner as a member", create(lot="{uniq}"), share("{demo}"), index(), answer("accepted", "{demo}", "demo")),
    case(
        "an answer that is none",
        create(),
        share(),
        *(answer(status) for status in ("", "ACCEPTED", "maybe", "all", 1, ["accepted"], {"a": 1}, True)),
        answer("maybe", by="demo"),
        answer("maybe", "third"),
        answer("maybe", "third", "admin"),
        request("PUT", "/v2/images/{id}/members/{alt}", by="alt", json_body={"status": "accepted", "member": "x"}),
        index(),
    ),
    *(_bad_body(number, body) for number, body in enumerate(_BODIES, start=1)),
    case(
        "a member of an odd name",
        create(),
        *(share(name) for name in ("a b", "a/b", "é", "m" * 255, "{UUID}", "..", "%", "\u20ac")),
        index(),
        member("a%20b"),
        member("a/b"),
        member("%C3%A9"),
        member("%25"),
        member("m" * 255),
        member("m" * 256),
        unshare("a%20b"),
        unshare("m" * 256),
        share("m" * 256),
        index(),
    ),
    case(
        "a member that no column takes",
        create(),
        share("\U0001f600"),
        share(7),
        share(["{alt}"]),
        share({"a": 1}),
        index(),
    ),
    *(
        case(
            f"members of a {visibility} image",
            create(by=by, visibility=visibility),
            share(by=by),
            index(by),
            member(by=by),
            index("alt"),
            member(by="alt"),
            answer("accepted"),
            unshare(by=by),
            index("admin"),
            share(by="admin"),
        )
        for visibility, by in _NOT_SHARED
    ),
    case(
        "members outlive a change of visibility",
        create(lot="{uniq}"),
        share(),
        answer("accepted"),
        patch(put("/visibility", "private")),
        show(by="alt"),
        _listed("&member_status=all"),
        index(),
        patch(put("/visibility", "community")),
        show(by="alt"),
        _listed(),
        index(),
        patch(put("/visibility", "shared")),
        show(by="alt"),
        _listed(),
        index(),
    ),
    case(
        "members of an image that moves to its member",
        create(),
        share(),
        patch(put("/owner", "{alt}"), by="admin"),
        index("alt"),
        index("demo"),
        share("{demo}", "alt"),
        index("demo"),
        answer("accepted", "{demo}", "demo"),
        answer("accepted", "{alt}", "alt"),
    ),
    case(
        "members of a deleted image",
        create(),
        share(),
        delete(),
        index(),
        member(),
        share("x"),
        answer("accepted"),
        unshare(),
        index("alt"),
    ),
    case(
        "members of no image",
        get(f"/v2/images/{NOBODY}/members"),
        get(f"/v2/images/{NOBODY}/members/x"),
        request("POST", f"/v2/images/{NOBODY}/members", json_body={"member": "x"}),
        request("PUT", f"/v2/images/{NOBODY}/members/x", json_body={"status": "accepted"}),
        request("DELETE", f"/v2/images/{NOBODY}/members/x"),
        get("/v2/images/no-uuid/members", by="admin"),
        get(f"/v2/images/{NOBODY}/members", headers=ACCEPT_JSON),
    ),
    case(
        "methods of members",
        create(),
        *(request(method, "/v2/images/{id}/members") for method in ("PUT", "DELETE", "PATCH", "HEAD")),
        *(request(method, "/v2/images/{id}/members/x") for method in ("POST", "PATCH", "HEAD")),
        get("/v2/images/{id}/members/"),
        request("GET", "/v2/images/{id}/members", json_body={}),
        request("GET", "/v2/images/{id}/members/x", json_body={}),
        request("DELETE", "/v2/images/{id}/members/x", json_body={}),
    ),
    case(
        "lists by what members answered",
        create(name="{uniq} a", lot="{uniq}"),
        share(),
        *(
            step
            for status in _STATUSES
            for step in (answer(status), *(_listed(f"&member_status={s}") for s in (*_STATUSES, "all")))
        ),
        *(_listed(f"&visibility={v}") for v in ("shared", "private", "all")),
        *(_listed("&member_status=all", who) for who in _LISTERS),
        _listed("&owner={demo}&member_status=all"),
        _listed("&member_status=nonsense"),
        _listed("&member_status="),
    ),
    case(
        "what a member may do with the image",
        create_raw(lot="{uniq}"),
        upload(),
        share(),
        answer("accepted"),
        download(by="alt"),
        patch(put("/name", "mine"), by="alt"),
        request("PUT", "/v2/images/{id}/tags/t", by="alt"),
        upload(by="alt"),
        request("POST", "/v2/images/{id}/actions/deactivate", by="alt"),
        delete(by="alt"),
        patch(put("/visibility", "community"), by="alt"),
        patch(put("/protected", True)),
        share("third"),
        unshare(),
        show(by="alt"),
    ),
)
