"""POST /v2/images."""

from typing import Any

from tests.parity.model import ACCEPT_JSON, Case, Step, case, create, create_raw, delete, request, show

_LONG = "n" * 255
_READ_ONLY: dict[str, Any] = {
    "created_at": "2020-01-01T00:00:00Z",
    "updated_at": "2020-01-01T00:00:00Z",
    "status": "active",
    "checksum": "d41d8cd98f00b204e9800998ecf8427e",
    "size": 7,
    "virtual_size": 7,
    "os_hash_algo": "md5",
    "os_hash_value": "aa",
}
_RESERVED: dict[str, Any] = {
    "direct_url": "http://x/",
    "self": "/v2/x",
    "file": "/v2/x/file",
    "schema": "/v2/schemas/image",
    "stores": "file",
    "location": "http://x/",
    "locations": [],
    "deleted": False,
    "deleted_at": "2020-01-01T00:00:00Z",
    "os_glance_import_task": "x",
    "os_glance_x": "x",
}
_BAD: dict[str, Any] = {
    "name of 256": {"name": "n" * 256},
    "name a number": {"name": 7},
    "id not a uuid": {"id": "abc"},
    "id without hyphens": {"id": "{hex}"},
    "id null": {"id": None},
    "visibility unknown": {"visibility": "everyone"},
    "visibility null": {"visibility": None},
    "protected a string": {"protected": "true"},
    "os_hidden a string": {"os_hidden": "true"},
    "min_disk negative": {"min_disk": -1},
    "min_disk too large": {"min_disk": 2147483648},
    "min_disk a string": {"min_disk": "5"},
    "min_ram a float": {"min_ram": 1.5},
    "disk_format unknown": {"disk_format": "zip"},
    "container_format unknown": {"container_format": "box"},
    "tags a string": {"tags": "abc"},
    "tag a number": {"tags": [1]},
    "tag of 256": {"tags": ["t" * 256]},
    "custom value a number": {"custom": 7},
    "custom value null": {"custom": None},
    "custom value a list": {"custom": ["a"]},
    "custom value a boolean": {"custom": True},
    "custom key of 256": {"k" * 256: "v"},
    "custom key empty": {"": "v"},
    "owner of another": {"owner": "{alt}"},
    "owner null": {"owner": None},
    "owner a number": {"owner": 7},
    "129 custom properties": {f"p{n}": "v" for n in range(129)},
    "129 tags": {"tags": [f"t{n}" for n in range(129)]},
    "four byte characters": {"name": "\U0001f600"},
    "two problems": {"min_disk": -1, "min_ram": -1},
}


def _try(**document: Any) -> tuple[Step, Step]:
    """The same document twice: the message as a browser and as a program sees it."""
    return (
        request("POST", "/v2/images", json_body=document, captures={"id": "id"}),
        request("POST", "/v2/images", json_body=document, headers=ACCEPT_JSON, captures={"again": "id"}),
    )


def _named(**document: Any) -> Step:
    return request("POST", "/v2/images", json_body={"name": "{uniq}", **document}, captures={"id": "id"})


CASES: tuple[Case, ...] = (
    case(
        "an empty document makes an image", request("POST", "/v2/images", json_body={}, captures={"id": "id"}), show()
    ),
    case(
        "every attribute",
        create(
            visibility="private",
            protected=True,
            os_hidden=True,
            min_disk=3,
            min_ram=2147483647,
            disk_format="qcow2",
            container_format="bare",
            tags=["b", "a", "b"],
            owner="{demo}",
            custom="value",
            hw_disk_bus="scsi",
            empty="",
        ),
        show(),
        delete(),
    ),
    case("nulls where they are allowed", create(name=None, disk_format=None, container_format=None), show()),
    case("a name of 255", create(name=_LONG), show()),
    case("an empty name", create(name=""), show()),
    case("unicode in name, tag and property", create(name="ñ-日本", tags=["é"], ключ="значение"), show()),
    case("a custom key of 255", _named(**{"k" * 255: "v"})),
    case("a custom key with odd characters", _named(**{"a/b~c d.e:f": "v"}), show()),
    case("a long custom value", create(custom="v" * 70000)),
    case(
        "an id of the client's choice",
        create(id="{uuid}", name="chosen"),
        create(id="{uuid}", name="chosen", as_="again"),
        delete(),
        create(id="{uuid}", name="chosen", as_="reused"),
    ),
    case("an id in capitals", create(id="{UUID}"), show(), create(id="{uuid}", as_="b"), show(of="uuid")),
    case("an admin may name another owner", create(by="admin", owner="{alt}"), show(by="alt"), show()),
    case("an admin may publish", create(by="admin", visibility="public"), show(by="alt")),
    case("a member may not publish", *_try(visibility="public")),
    case("a member may share with the community", create(visibility="community"), show(by="alt")),
    case(
        "a reader may not create",
        create(by="viewer"),
        request("POST", "/v2/images", by="viewer", json_body={"owner": "{demo}"}),
    ),
    *(case(f"read-only {name}", *_try(**{name: value})) for name, value in _READ_ONLY.items()),
    *(case(f"reserved {name}", *_try(**{name: value})) for name, value in _RESERVED.items()),
    *(case(f"bad: {name}", *_try(**document)) for name, document in _BAD.items()),
    case("ami formats need not agree", create(disk_format="ami", container_format="bare"), create_raw(as_="b")),
    case("the id of another's image", create(by="alt"), create(as_="b", id="{id}")),
    case("a create with a query", request("POST", "/v2/images?x=y", json_body={}, captures={"id": "id"})),
)
