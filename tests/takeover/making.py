"""Makes images of every kind, through whichever service: what a Glance leaves, and what a Glint adds to it."""

from functools import partial
from typing import Any

from tests.content import KIB, Noise
from tests.parity.cases.metadef_steps import WHOLE
from tests.takeover.service import Made, Service

_RAW = {"disk_format": "raw", "container_format": "bare"}
_PROPERTIES = {
    "hw_disk_bus": "scsi",
    "os_distro": "debian",
    "empty": "",
    "größe": "ein Süßer, 雪",
    "long": "x" * 5000,
}


def make_everything(service: Service, name: str, origin_url: str) -> Made:
    """Images of every kind, named after `name`, with members, locations, tasks and metadata definitions.

    `origin_url` is where data lie that a location may name and that web-download may fetch.
    """
    made = Made()
    new = partial(_create, service, made, name)
    _make_plain(service, made, new)
    _make_shared(service, made, new)
    _make_imported(service, made, new, origin_url)
    _make_located(service, made, new, origin_url)
    make_metadefs(service, made, name)
    return made


def upload(service: Service, made: Made, kind: str, by: str = "demo", *, seed: int | None = None) -> None:
    """Data that no other image has, unless `seed` says which."""
    data = Noise(64 * KIB + len(made.data), seed=len(made.data) if seed is None else seed).read()
    service.do(by, "PUT", f"/v2/images/{made.images[kind]}/file", data)
    made.data[made.images[kind]] = data


def make_metadefs(service: Service, made: Made, name: str) -> None:
    """A public namespace with one of each thing in it, a private one, and a protected one."""
    demo = service.identity.projects["demo"]
    whole = dict(WHOLE) | {"namespace": f"{name}::whole", "owner": demo}
    bare: dict[str, Any] = {"namespace": f"{name}::bare", "owner": demo, "visibility": "private"}
    protected = {"namespace": f"{name}::protected", "visibility": "public", "protected": True}
    for namespace in (whole, bare, protected):
        service.do("admin", "POST", "/v2/metadefs/namespaces", namespace)
        made.namespaces.append(str(namespace["namespace"]))


def _create(service: Service, made: Made, prefix: str, kind: str, by: str = "demo", **fields: Any) -> str:
    document = {"name": f"{prefix} {kind}"} | _RAW | fields
    made.images[kind] = str(service.do(by, "POST", "/v2/images", document)["id"])
    return made.images[kind]


def _make_plain(service: Service, made: Made, new: Any) -> None:
    new("plain", tags=["blue", "grün", "red"], min_disk=3, min_ram=64, **_PROPERTIES)
    new("public", by="admin", visibility="public", protected=True, tags=["blue"])
    new("community", visibility="community", os_distro="fedora")
    new("hidden", by="admin", visibility="public", os_hidden=True)
    new("deactivated", tags=["red"])
    new("reactivated")
    new("queued", name=None, disk_format=None, container_format=None)
    new("empty", tags=["blue"])
    new("gone", tags=["red"], lost="yes")
    for kind in ("plain", "community", "deactivated", "reactivated", "gone"):
        upload(service, made, kind)
    for kind in ("public", "hidden"):
        upload(service, made, kind, by="admin")
    service.do("demo", "PUT", f"/v2/images/{made.images['empty']}/file", b"")
    made.data[made.images["empty"]] = b""
    for kind in ("deactivated", "reactivated"):
        service.do("admin", "POST", f"/v2/images/{made.images[kind]}/actions/deactivate")
    service.do("admin", "POST", f"/v2/images/{made.images['reactivated']}/actions/reactivate")
    plain = made.images["plain"]
    add = {"op": "add", "path": "/came", "value": "and went"}
    service.patch("demo", plain, add, {"op": "add", "path": "/stays", "value": "1"})
    service.patch("demo", plain, {"op": "remove", "path": "/came"})
    service.do("demo", "DELETE", f"/v2/images/{plain}/tags/red")
    service.do("demo", "PUT", f"/v2/images/{plain}/tags/late")
    service.do("demo", "DELETE", f"/v2/images/{made.images['gone']}")
    del made.data[made.images["gone"]]


def _make_shared(service: Service, made: Made, new: Any) -> None:
    """With members in each state, and one who was removed; the deleted image is shared too."""
    projects = service.identity.projects
    for kind, status in (("accepted", "accepted"), ("pending", None), ("rejected", "rejected"), ("unshared", None)):
        image_id = new(kind, visibility="shared", tags=["shared"])
        upload(service, made, kind)
        members = f"/v2/images/{image_id}/members"
        service.do("demo", "POST", members, {"member": projects["alt"]})
        if status is not None:
            service.do("alt", "PUT", f"{members}/{projects['alt']}", {"status": status})
    service.do("demo", "DELETE", f"{members}/{projects['alt']}")
    service.do("demo", "POST", f"/v2/images/{made.images['accepted']}/members", {"member": projects["admin"]})


def _make_imported(service: Service, made: Made, new: Any, origin_url: str) -> None:
    """By each method; one import fails."""
    data = Noise(70 * KIB, seed=70).read()
    everywhere, fetched, copied, failed = (new(kind) for kind in ("everywhere", "fetched", "copied", "failed"))
    service.do("demo", "PUT", f"/v2/images/{everywhere}/stage", data)
    both = ["file", "second"]
    _import(service, everywhere, {"method": {"name": "glance-direct"}, "stores": both})
    _import(service, fetched, {"method": {"name": "web-download", "uri": f"{origin_url}/blob"}})
    _import(service, failed, {"method": {"name": "web-download", "uri": f"{origin_url}/nothing-there"}})
    upload(service, made, "copied")
    _import(service, copied, {"method": {"name": "copy-image"}, "stores": ["second"]}, by="admin")
    made.data[everywhere] = data
    made.data[fetched] = service.ask("demo", "GET", f"/v2/images/{fetched}/file").body


def _import(service: Service, image_id: str, body: Any, by: str = "demo") -> None:
    """To its end: of several at once on SQLite a Glance leaves some `importing` for ever, its database being locked."""
    service.do(by, "POST", f"/v2/images/{image_id}/import", body)
    service.settled(image_id)


def _make_located(service: Service, made: Made, new: Any, origin_url: str) -> None:
    """Data that stay where they are, at two places."""
    image_id = new("located")
    for path in ("blob", "redirect"):
        value = {"url": f"{origin_url}/{path}", "metadata": {"note": path, "store": "web"}}
        service.patch("demo", image_id, {"op": "add", "path": "/locations/-", "value": value})
    made.data[image_id] = service.ask("demo", "GET", f"/v2/images/{image_id}/file").body
