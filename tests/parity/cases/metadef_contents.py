"""Properties, objects, tags and resource types of a namespace."""

from typing import Any

from tests.parity.cases.metadef_steps import EVERYBODY, PRIVATE_OF_DEMO, WHOLE, drop, make, send, show
from tests.parity.model import Case, Step, case

_NEW: dict[str, Any] = {
    "objects": {"name": "new", "description": "New", "properties": {"p": {"title": "t", "type": "string"}}},
    "properties": {"name": "new", "title": "New", "type": "string"},
    "tags": {"tags": [{"name": "new"}]},
    "resource_types": {"name": "OS::Nova::Flavor", "prefix": "p:"},
}
_CHANGED: dict[str, Any] = {
    "objects": {"name": "changed", "required": ["a", "b"]},
    "properties": {"name": "changed", "title": "Changed", "type": "boolean", "default": True},
    "tags": {"name": "changed"},
}
_SPREAD: dict[str, Any] = {
    "title": "Everything",
    "type": "array",
    "description": "All that a property may have",
    "operators": ["<or>", "<in>"],
    "minimum": 1.9,
    "maximum": 7,
    "maxLength": 5.0,
    "minLength": 0,
    "pattern": "^a+$",
    "enum": ["a", "b"],
    "readonly": True,
    "default": 1.5,
    "items": {"type": "string", "enum": ["a"]},
    "maxItems": 3,
    "minItems": 1,
    "uniqueItems": False,
    "additionalItems": True,
}


def _life(kind: str, who_is_it: str) -> Case:
    return case(
        f"a life of {kind}",
        make(),
        show(f"/{kind}"),
        send("POST", f"/{kind}", _NEW[kind]),
        send("POST", f"/{kind}", _NEW[kind], X_Openstack_Append="true"),
        show(f"/{kind}"),
        show(f"/{kind}/new"),
        show(f"/{kind}/none"),
        send("PUT", f"/{kind}/new", _CHANGED[kind]),
        send("PUT", f"/{kind}/new", _CHANGED[kind]),
        show(f"/{kind}/changed"),
        show(),
        send("DELETE", f"/{kind}/{who_is_it}"),
        send("DELETE", f"/{kind}/{who_is_it}"),
        send("POST", f"/{kind}", _NEW[kind]),
        send("DELETE", f"/{kind}"),
        send("DELETE", f"/{kind}"),
        show(f"/{kind}"),
        drop(),
    )


def _access(kind: str, visibility: dict[str, str], title: str) -> Case:
    name = {"objects": "disk", "properties": "cores", "tags": "gold"}[kind]
    others = EVERYBODY[1:]
    return case(
        f"who may do what with {kind} of a {title} namespace",
        make(**{**WHOLE, **visibility}),
        *(show(f"/{kind}", by=who) for who in EVERYBODY),
        *(show(f"/{kind}/{name}", by=who) for who in EVERYBODY),
        *(send("POST", f"/{kind}", _NEW[kind], by=who) for who in others),
        *(send("PUT", f"/{kind}/{name}", _CHANGED[kind], by=who) for who in others),
        *(send("DELETE", f"/{kind}/{name}", by=who) for who in others),
        *(send("DELETE", f"/{kind}", by=who) for who in others),
        drop(),
    )


def _wrong(method: str, path: str, *documents: Any) -> tuple[Step, ...]:
    return tuple(send(method, path, document) for document in documents)


CASES: tuple[Case, ...] = (
    *(_life(kind, "changed") for kind in ("objects", "properties", "tags")),
    *(
        _access(kind, visibility, title)
        for kind in ("objects", "properties", "tags")
        for title, visibility in (("private", dict(PRIVATE_OF_DEMO)), ("public", {}))
    ),
    case(
        "all of a property",
        make(),
        send("POST", "/properties", {"name": "all", **_SPREAD}),
        show("/properties/all"),
        send("PUT", "/properties/all", {"name": "all", "title": "t", "type": "number", "default": "x"}),
        show("/properties/all"),
        *(
            send("PUT", "/properties/all", {"name": "all", "title": "t", "type": "string", "default": default})
            for default in (7, 7.0, False, None, [1], {"a": 1}, "é", "")
        ),
        send("POST", "/objects", {"name": "o", "properties": {"all": _SPREAD}, "required": []}),
        show("/objects/o"),
        show(),
        drop(),
    ),
    case(
        "properties that are wrong",
        make(),
        *_wrong(
            "POST",
            "/properties",
            None,
            [],
            {},
            {"name": "p", "type": "string"},
            {"title": "t", "type": "string"},
            {"name": "p", "title": "t", "type": "text"},
            {"name": "p", "title": "t", "type": None},
            {"name": "p", "title": "t", "type": "string", "color": "blue"},
            {"name": "p", "title": "t", "type": "string", "confidential": True},
            {"name": "p", "title": "t", "type": "string", "required": ["a"]},
            {"name": "p", "title": "t", "type": "string", "maxLength": -1},
            {"name": "p", "title": "t", "type": "string", "minimum": True},
            {"name": "p", "title": "t", "type": "string", "enum": [1]},
            {"name": "p", "title": "t", "type": "array", "items": {"enum": ["a"]}},
            {"name": "p", "title": "t", "type": "array", "items": {"type": "string", "color": "blue"}},
            {"name": "p", "title": "t", "type": "string", "created_at": "x"},
            {"name": "p" * 81, "title": "t", "type": "string"},
        ),
        *_wrong(
            "PUT", "/properties/p", {}, {"name": "p", "title": "t", "type": "string", "updated_at": "x"}, {"name": 7}
        ),
        send("PUT", "/properties/p", {"name": "p", "title": "t", "type": "string"}),
        show("/properties"),
        drop(),
    ),
    case(
        "a property by its resource type",
        make(**WHOLE),
        show("/properties/hw:cores?resource_type=OS::Nova::Server", by="demo"),
        show("/properties/cores?resource_type=OS::Nova::Server"),
        show("/properties/hw:none?resource_type=OS::Nova::Server"),
        show("/properties/cores?resource_type=OS::Glance::Image"),
        show("/properties/cores?resource_type=OS::No::Such"),
        show("/properties/cores?resource_type="),
        show("/properties/hw:cores"),
        drop(),
    ),
    case(
        "objects that are wrong",
        make(),
        *_wrong(
            "POST",
            "/objects",
            None,
            [],
            {},
            {"name": "o" * 81},
            {"name": "o", "color": "blue"},
            {"name": "o", "required": "a"},
            {"name": "o", "required": ["a", "a"]},
            {"name": "o", "self": "x"},
            {"name": "o", "schema": "x"},
            {"name": "o", "properties": {"p": {"type": "string"}}},
            {"name": "o", "properties": {"p": {"title": "t", "type": "string", "color": "blue"}}},
            {"name": "o", "properties": {"p": {"title": "t", "type": "string", "confidential": True}}},
        ),
        *_wrong(
            "PUT",
            "/objects/o",
            {},
            {"name": "o", "created_at": "x"},
            {"name": "o", "properties": {"p": {"title": "t", "type": "string", "color": "blue"}}},
            {"name": "o"},
        ),
        show("/objects"),
        drop(),
    ),
    case(
        "an object keeps nothing that a change leaves out",
        make(objects=[WHOLE["objects"][1], {"name": "other"}]),
        send("PUT", "/objects/disk", {"name": "disk"}),
        show("/objects/disk"),
        send("PUT", "/objects/disk", {"name": "other"}),
        send("PUT", "/objects/disk", {"name": "disk", "properties": {"p": _SPREAD}, "description": ""}),
        show("/objects/disk"),
        drop(),
    ),
    case(
        "names that are taken",
        make(**WHOLE),
        send("POST", "/objects", {"name": "disk"}),
        send("POST", "/properties", {"name": "cores", "title": "t", "type": "string"}),
        send("PUT", "/properties/distro", {"name": "cores", "title": "t", "type": "string"}),
        send("POST", "/tags/gold"),
        send("PUT", "/tags/silver", {"name": "gold"}),
        send("POST", "/resource_types", {"name": "OS::Nova::Server"}),
        drop(),
    ),
    case(
        "contents of a namespace that is not there",
        *(show(f"/{kind}") for kind in ("objects", "properties", "tags", "resource_types")),
        *(show(f"/{kind}/x", by="demo") for kind in ("objects", "properties", "tags")),
        *(send("POST", f"/{kind}", document) for kind, document in _NEW.items()),
        *(send("PUT", f"/{kind}/x", document) for kind, document in _CHANGED.items()),
        *(send("DELETE", f"/{kind}/x") for kind in ("objects", "properties", "tags", "resource_types")),
    ),
    case(
        "contents and methods",
        send("PUT", "/objects"),
        send("PATCH", "/objects/o"),
        send("HEAD", "/properties"),
        send("POST", "/properties/p"),
        send("PUT", "/tags"),
        send("PATCH", "/tags/t"),
        send("DELETE", "/resource_types"),
        send("GET", "/resource_types/t"),
        send("GET", "/objects", {}),
        send("GET", "/objects/o", {}),
        send("DELETE", "/objects/o", {}),
        send("GET", "/properties", {}),
        send("GET", "/properties/p", {}),
        send("DELETE", "/properties/p", {}),
        send("GET", "/tags/t", {}),
        send("POST", "/tags/t", {}),
        send("DELETE", "/tags/t", {}),
        send("GET", "/resource_types", {}),
    ),
)
