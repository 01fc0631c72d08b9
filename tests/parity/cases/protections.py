"""Property protections by roles: who may make, see, change and remove which custom property. See guards.py."""

from collections.abc import Sequence

from tests.parity.cases.members import answer, share
from tests.parity.model import (
    PATCH_V20,
    Case,
    Persona,
    Step,
    Variant,
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
    upload,
)

_ROLES: frozenset[Variant] = frozenset({"roles"})
_NAMES = (
    "open_a",
    "secret_a",
    "written_once",
    "managed_a",
    "billing_a",
    "drop_box",
    "half_seen",
    "blind",
    "closed",
    "empty",
    "apart",
    "partial_admin",
    "unruled",
    "OPEN_a",
    "an_os_glance_a",
    "os_glance_import",
)
_MAKERS: tuple[Persona, ...] = ("demo", "admin", "nova")
_READERS: tuple[Persona, ...] = ("demo", "viewer", "alt", "admin", "nova", "service")
_LISTERS: tuple[Persona, ...] = ("demo", "viewer", "admin")
_PATCHERS: tuple[Persona, ...] = ("viewer", "alt", "service", "admin")
_FILLED = {"open_a": "1", "secret_a": "2", "written_once": "3", "managed_a": "4", "half_seen": "5", "apart": "6"}


def _case(name: str, *steps: Step) -> Case:
    return case(name, *steps, variants=_ROLES)


def _listed(query: str = "", by: Persona = "demo") -> Step:
    return get(f"/v2/images?lot={{uniq}}{query}", by=by)


def _filled(by: Persona = "admin", **more: str) -> Step:
    """An image of demo that has one property of each kind an admin may make, without formats."""
    return create(by=by, owner="{demo}", lot="{uniq}", **{**_FILLED, **more})


def _changed(name: str, by: Persona) -> Sequence[Step]:
    """Add, replace and remove one property, looked at by the two who see most."""
    steps: list[Step] = [_filled()]
    for operation in (add(f"/{name}", "new"), put(f"/{name}", "newer"), remove(f"/{name}")):
        steps += [patch(operation, by=by), show(by="admin"), show(by="nova")]
    return steps


CASES: tuple[Case, ...] = (
    *(_case(f"who may make {name}", *(create(by=by, **{name: "x"}) for by in _MAKERS)) for name in _NAMES),
    _case(
        "who sees which property",
        _filled(visibility="public"),
        *(show(by=by) for by in _READERS),
        *(_listed(by=by) for by in _READERS),
    ),
    _case(
        "what is made unseen",
        create(by="admin", owner="{demo}", visibility="public", lot="{uniq}", drop_box="1", blind="2", half_seen="3"),
        *(show(by=by) for by in _READERS),
        create(as_="b", drop_box="1", blind="2", lot="{uniq}"),
        show(of="b"),
        show(by="admin", of="b"),
    ),
    _case(
        "filters on what is not seen",
        _filled(visibility="public", drop_box="7"),
        *(
            _listed(query, by)
            for by in _LISTERS
            for query in ("&secret_a=2", "&secret_a=3", "&managed_a=4", "&half_seen=5", "&drop_box=7", "&unruled=1")
        ),
    ),
    *(_case(f"demo changes {name}", *_changed(name, "demo")) for name in _NAMES[:-1]),
    *(_case(f"admin changes {name}", *_changed(name, "admin")) for name in ("secret_a", "managed_a", "half_seen")),
    *(_case(f"a service changes {name}", *_changed(name, "nova")) for name in ("billing_a", "managed_a", "blind")),
    _case(
        "a change by one who does not see all",
        _filled(),
        patch(put("/name", "{uniq} b")),
        show(by="admin"),
        request("PUT", "/v2/images/{id}/tags/t"),
        show(by="admin"),
        patch(put("/tags", ["u"])),
        show(by="admin"),
    ),
    _case(
        "data by one who does not see all",
        create_raw(by="admin", owner="{demo}", **_FILLED),
        upload(),
        show(by="admin"),
        download(),
        request("POST", "/v2/images/{id}/actions/deactivate"),
        show(by="admin"),
        request("POST", "/v2/images/{id}/actions/reactivate"),
        show(by="admin"),
        show(),
    ),
    _case(
        "members who do not see all",
        _filled(),
        share(),
        show(by="alt"),
        answer("accepted"),
        _listed(by="alt"),
        _listed("&secret_a=2", by="alt"),
        show(by="admin"),
    ),
    _case(
        "many changes at once",
        _filled(),
        patch(put("/name", "{uniq} c"), add("/closed", "x")),
        patch(add("/open_b", "x"), put("/secret_a", "y")),
        patch(add("/open_b", "x"), remove("/managed_a")),
        patch(add("/drop_box", "1"), put("/drop_box", "2")),
        patch(add("/blind", "1"), remove("/blind")),
        patch(add("/open_b", "x"), put("/open_a", "y"), remove("/apart")),
        patch(put("/unruled", "x")),
        patch(remove("/unruled")),
        show(),
        show(by="admin"),
    ),
    _case(
        "changes in the older syntax",
        _filled(),
        *(
            patch(operation, headers=PATCH_V20)
            for operation in (
                {"add": "/open_a", "value": "x"},
                {"add": "/secret_a", "value": "x"},
                {"add": "/open_c", "value": "x"},
                {"replace": "/secret_a", "value": "x"},
                {"remove": "/secret_a"},
                {"replace": "/written_once", "value": "x"},
                {"remove": "/written_once"},
            )
        ),
        show(by="admin"),
    ),
    _case(
        "the policy comes before the protection",
        _filled(visibility="public"),
        *(patch(add("/closed", "x"), by=by) for by in _PATCHERS),
        create(by="viewer", closed="x"),
        create(by="service", billing_a="x"),
        create(closed=7),
        create(closed="x", visibility="public"),
    ),
    _case("os_hidden and the like are not protected", create(os_hidden=True, protected=False, min_ram=1, tags=["t"])),
    _case(
        "two members and no more",
        create(),
        share("a"),
        share("b"),
        share("c"),
        share("b"),
        share("c", "admin"),
        request("DELETE", "/v2/images/{id}/members/a"),
        share("c"),
        share("a"),
        get("/v2/images/{id}/members"),
    ),
)
