"""Properties that schema-image.json describes, flat and with `required`. See guards.py."""

from typing import Any

from tests.parity.model import Case, Step, Variant, add, case, create, get, patch, put, remove, request, show

_FLAT: frozenset[Variant] = frozenset({"roles"})
_EXTENDED: frozenset[Variant] = frozenset({"required"})
_GOOD: dict[str, Any] = {"kernel_id": "00ff", "os_distro": "debian", "note": "short", "maybe": "text"}
_VALUES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("kernel_id", ("00ff", "", "xyzw", 7, None)),
    ("os_distro", ("fedora", "suse", "", None)),
    ("count", (1, 12345678901, 0, -1, 1.0, 1.5, "1", True)),
    ("ratio", (0.5, 2, "1")),
    ("flag", (True, False, "true", 1)),
    ("note", ("", "short", "longer", 5)),
    ("maybe", (7, "text", 1.5, [], None)),
)


def _listed(query: str) -> Step:
    return get(f"/v2/images?lot={{uniq}}{query}")


def _values(name: str, values: tuple[Any, ...]) -> Case:
    """Each value at creation and by a patch, and what a later look shows."""
    steps: list[Step] = []
    for number, value in enumerate(values):
        steps += [create(as_=f"id{number}", **{name: value}), get(f"/v2/images/{{id{number}}}")]
    steps.append(create())
    for value in values:
        steps += [patch(add(f"/{name}", value)), show(), patch(put(f"/{name}", value)), show()]
    return case(f"values of {name}", *steps, patch(remove(f"/{name}")), show(), variants=_FLAT)


CASES: tuple[Case, ...] = (
    case(
        "a schema with custom properties",
        get("/v2/schemas/image"),
        get("/v2/schemas/images"),
        get("/v2/schemas/member"),
        variants=_FLAT | _EXTENDED,
    ),
    *(_values(name, values) for name, values in _VALUES),
    case("a list as a value", create(list=["a"]), create(list=[]), create(list="a"), variants=_FLAT),
    case(
        "lists by custom properties",
        create(lot="{uniq}", **_GOOD),
        *(_listed(f"&{name}={value}") for name, value in (*_GOOD.items(), ("note", "none"), ("os_distro", "suse"))),
        variants=_FLAT,
    ),
    case(
        "what is required",
        create(mission="m", crew="c"),
        create(as_="b", mission="m"),
        create(as_="c", mission=None, crew="c"),
        create(as_="d"),
        create(as_="e", mission="m" * 8, crew="c"),
        create(as_="f", mission="m" * 9, crew="c"),
        patch(put("/name", "x")),
        patch(put("/mission", "n")),
        patch(put("/mission", "m" * 9)),
        patch(put("/mission", "n"), put("/crew", "d")),
        patch(remove("/mission")),
        patch(put("/tags", ["t"])),
        request("PUT", "/v2/images/{id}/tags/u"),
        show(),
        variants=_EXTENDED,
    ),
)
