"""Tags of a namespace, one by one and as a list, and its resource types."""

from typing import Any

from tests.parity.cases.metadef_steps import EVERYBODY, PRIVATE_OF_DEMO, WHOLE, drop, make, send, show
from tests.parity.model import Case, Persona, Step, case


def _tags(*names: str, by: Persona = "admin", **headers: str) -> Step:
    return send("POST", "/tags", {"tags": [{"name": name} for name in names]}, by=by, **headers)


_NO_TAGS: tuple[Any, ...] = (
    None,
    [],
    {"tags": "a"},
    {"tags": ["a"]},
    {"tags": [{}]},
    {"tags": [{"name": 7}]},
    {"tags": [{"name": "a", "color": "blue"}]},
    {"names": ["a"]},
    {"tags": [], "created_at": "x"},
    {},
)
_TRUE = ("true", "True", "1", "on", "yes")
_NO_TAG: tuple[Any, ...] = ({}, [], {"name": 7}, {"name": "y", "color": "blue"})
_NO_ASSOCIATIONS: tuple[Any, ...] = (
    None,
    [],
    {},
    {"prefix": "p"},
    {"name": 7},
    {"name": "n" * 81},
    {"name": "n", "prefix": "p" * 81},
    {"name": "n", "properties_target": "p" * 81},
    {"name": "n", "prefix": None},
    {"name": "n", "color": "blue"},
    {"name": "n", "created_at": "x"},
    {"name": "n", "updated_at": "x"},
)

CASES: tuple[Case, ...] = (
    case(
        "a list of tags replaces the others",
        make(tags=[{"name": "old"}]),
        _tags("a", "b"),
        show("/tags"),
        _tags("c", X_Openstack_Append="false"),
        show("/tags"),
        _tags(),
        show("/tags"),
        drop(),
    ),
    case(
        "a list of tags is added",
        make(tags=[{"name": "old"}]),
        *(_tags(f"{value}-{n}", X_Openstack_Append=value) for n, value in enumerate(_TRUE)),
        show("/tags"),
        _tags("new", "old", X_Openstack_Append="true"),
        show("/tags"),
        _tags("x", X_Openstack_Append="sure"),
        show("/tags"),
        drop(),
    ),
    case(
        "lists of tags that are wrong",
        make(tags=[{"name": "old"}]),
        _tags("a", "a"),
        _tags("t" * 81),
        *(send("POST", "/tags", document) for document in _NO_TAGS),
        show("/tags"),
        drop(),
    ),
    case(
        "tags one by one",
        make(),
        send("POST", "/tags/a"),
        send("POST", "/tags/a%20b"),
        send("POST", f"/tags/{'t' * 80}"),
        send("POST", f"/tags/{'t' * 81}"),
        send("POST", f"/tags/{'t' * 81}", by="demo"),
        show("/tags/a"),
        send("PUT", "/tags/a", {"name": "z"}),
        send("PUT", "/tags/z", {"name": "t" * 81}),
        *(send("PUT", "/tags/z", document) for document in _NO_TAG),
        send("PUT", "/tags/z", {"name": "y", "created_at": "x"}),
        send("PUT", "/tags/none", {"name": "y"}),
        show("/tags"),
        drop(),
    ),
    case(
        "who may add a tag",
        make(visibility="public"),
        *(send("POST", "/tags/a", by=who) for who in EVERYBODY),
        drop(),
        make(**PRIVATE_OF_DEMO),
        *(send("POST", "/tags/a", by=who) for who in EVERYBODY),
        drop(),
    ),
    case(
        "resource types of a namespace",
        make(visibility="public"),
        show("/resource_types"),
        send("POST", "/resource_types", {"name": "OS::Nova::Server", "prefix": "hw:", "properties_target": "image"}),
        send("POST", "/resource_types", {"name": "OS::Nova::Server"}),
        send("POST", "/resource_types", {"name": "OS::Glance::Image"}),
        *(show("/resource_types", by=who) for who in EVERYBODY),
        send("DELETE", "/resource_types/OS::Nova::Server"),
        send("DELETE", "/resource_types/OS::Nova::Server"),
        send("DELETE", "/resource_types/OS::No::Such"),
        show("/resource_types"),
        drop(),
    ),
    case(
        "who may change resource types",
        make(**{**WHOLE, "visibility": "public"}),
        *(send("POST", "/resource_types", {"name": "OS::Nova::Flavor"}, by=who) for who in EVERYBODY[1:]),
        *(send("DELETE", "/resource_types/OS::Nova::Server", by=who) for who in EVERYBODY[1:]),
        drop(),
        make(**{**WHOLE, **PRIVATE_OF_DEMO}),
        *(show("/resource_types", by=who) for who in EVERYBODY),
        *(send("POST", "/resource_types", {"name": "OS::Nova::Flavor"}, by=who) for who in EVERYBODY[1:]),
        *(send("DELETE", "/resource_types/OS::Nova::Server", by=who) for who in EVERYBODY[1:]),
        drop(),
    ),
    case(
        "resource types that are wrong",
        make(),
        *(send("POST", "/resource_types", document) for document in _NO_ASSOCIATIONS),
        show("/resource_types"),
        drop(),
    ),
)
