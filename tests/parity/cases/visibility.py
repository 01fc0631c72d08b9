"""Who sees which image, alone and in lists."""

from tests.parity.model import (
    Case,
    Persona,
    Step,
    case,
    create,
    create_raw,
    download,
    get,
    patch,
    put,
    request,
    show,
    upload,
)

_WHO: tuple[Persona, ...] = ("demo", "viewer", "alt", "admin", "anonymous")


def _list(by: Persona, query: str = "") -> Step:
    return get(f"/v2/images?lot={{uniq}}&sort=name:asc{query}", by=by)


def _seen(visibility: str, by: Persona) -> Case:
    return case(
        f"a {visibility} image",
        create_raw(by=by, visibility=visibility, lot="{uniq}"),
        upload(by=by),
        *(show(by=who) for who in _WHO),
        *(download(by=who) for who in _WHO),
        *(_list(who) for who in _WHO),
        *(_list("alt", f"&visibility={v}") for v in ("public", "private", "shared", "community", "all")),
        *(_list("admin", f"&visibility={v}") for v in ("public", "private", "shared", "community", "all")),
    )


def _member(method: str, path: str, by: Persona, document: dict[str, str]) -> Step:
    return request(method, f"/v2/images/{{id}}/members{path}", by=by, json_body=document)


CASES: tuple[Case, ...] = (
    _seen("private", "demo"),
    _seen("shared", "demo"),
    _seen("community", "demo"),
    _seen("public", "admin"),
    case(
        "an image shared with a member",
        create(lot="{uniq}"),
        show(by="alt"),
        _member("POST", "", "demo", {"member": "{alt}"}),
        show(by="alt"),
        _list("alt"),
        *(_list("alt", f"&member_status={s}") for s in ("all", "pending", "accepted", "rejected")),
        _list("alt", "&visibility=shared&member_status=all"),
        _member("PUT", "/{alt}", "alt", {"status": "accepted"}),
        _list("alt"),
        _list("alt", "&member_status=pending"),
        _list("alt", "&visibility=shared"),
        download(by="alt"),
        patch(put("/name", "x"), by="alt"),
        request("DELETE", "/v2/images/{id}", by="alt"),
        patch(put("/visibility", "private")),
        show(by="alt"),
        _list("alt", "&member_status=all"),
    ),
    case(
        "a hidden image is still seen by id",
        create(os_hidden=True, lot="{uniq}"),
        show(),
        _list("demo"),
        _list("admin"),
        _list("admin", "&os_hidden=true"),
    ),
    case(
        "an owner's filter",
        create(lot="{uniq}", visibility="community"),
        _list("alt", "&owner={demo}"),
        _list("alt", "&owner={demo}&visibility=community"),
        _list("alt", "&owner={alt}"),
        _list("admin", "&owner={demo}"),
        _list("admin", "&owner={demo}&visibility=all"),
    ),
    case(
        "an image moves to another owner",
        create(lot="{uniq}"),
        patch(put("/owner", "{alt}"), by="admin"),
        show(),
        show(by="alt"),
        _list("demo"),
        _list("alt"),
        request("DELETE", "/v2/images/{id}"),
        request("DELETE", "/v2/images/{id}", by="alt"),
    ),
)
