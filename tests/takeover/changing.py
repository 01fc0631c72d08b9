"""Changes what another service has made."""

from typing import Any

from tests.takeover.making import upload
from tests.takeover.service import Made, Service


def change_everything(service: Service, made: Made) -> None:
    """Each image otherwise: fields, properties, tags, members, status, data, stores; and the metadata definitions."""
    _change_fields(service, made)
    _change_members(service, made)
    _change_states(service, made)
    _change_places(service, made)
    for namespace in made.namespaces:
        _change_metadefs(service, namespace)


def delete_everything(service: Service, made: Made) -> None:
    """All that is left of it."""
    for image_id in made.images.values():
        path = f"/v2/images/{image_id}"
        if service.ask("admin", "GET", path).status == 404:
            continue  # it was deleted before
        if service.ask("admin", "DELETE", path).status == 403:
            service.patch("admin", image_id, {"op": "replace", "path": "/protected", "value": False})
            service.do("admin", "DELETE", path)
    for namespace in made.namespaces:
        service.do("admin", "PUT", f"/v2/metadefs/namespaces/{namespace}", {"namespace": namespace, "protected": False})
        service.do("admin", "DELETE", f"/v2/metadefs/namespaces/{namespace}")
    made.data = {}


def _change_fields(service: Service, made: Made) -> None:
    plain = made.images["plain"]
    operations: list[dict[str, Any]] = [
        {"op": "replace", "path": "/name", "value": "another ñame"},
        {"op": "replace", "path": "/min_disk", "value": 5},
        {"op": "replace", "path": "/hw_disk_bus", "value": "virtio"},
        {"op": "remove", "path": "/os_distro"},
        {"op": "add", "path": "/came", "value": "back"},
        {"op": "add", "path": "/fresh", "value": "new"},
    ]
    service.patch("demo", plain, *operations)
    service.patch("demo", made.images["community"], {"op": "replace", "path": "/tags", "value": ["x", "y"]})
    service.do("demo", "DELETE", f"/v2/images/{plain}/tags/blue")
    service.do("demo", "PUT", f"/v2/images/{plain}/tags/red")
    hide = {"op": "replace", "path": "/os_hidden", "value": False}
    service.patch("admin", made.images["hidden"], hide)
    service.patch("admin", made.images["public"], {"op": "replace", "path": "/protected", "value": False})


def _change_members(service: Service, made: Made) -> None:
    alt, other = service.identity.projects["alt"], service.identity.projects["other"]
    of = {kind: f"/v2/images/{made.images[kind]}/members" for kind in ("accepted", "pending", "rejected", "unshared")}
    service.do("alt", "PUT", f"{of['pending']}/{alt}", {"status": "accepted"})
    service.do("alt", "PUT", f"{of['rejected']}/{alt}", {"status": "pending"})
    service.do("demo", "DELETE", f"{of['accepted']}/{alt}")
    service.do("demo", "POST", of["unshared"], {"member": alt})
    service.do("demo", "POST", of["accepted"], {"member": other})


def _change_states(service: Service, made: Made) -> None:
    service.do("admin", "POST", f"/v2/images/{made.images['plain']}/actions/deactivate")
    service.do("admin", "POST", f"/v2/images/{made.images['deactivated']}/actions/reactivate")
    queued = made.images["queued"]
    formats = {"disk_format": "raw", "container_format": "bare", "name": "filled"}
    service.patch("demo", queued, *({"op": "replace", "path": f"/{k}", "value": v} for k, v in formats.items()))
    upload(service, made, "queued")
    for kind in ("public", "reactivated", "failed"):
        image_id = made.images[kind]
        service.do("admin", "DELETE", f"/v2/images/{image_id}")
        made.data.pop(image_id, None)


def _change_places(service: Service, made: Made) -> None:
    """Copies into the other store, and copies that go from one."""
    community = made.images["community"]
    body = {"method": {"name": "copy-image"}, "stores": ["second"]}
    service.do("admin", "POST", f"/v2/images/{community}/import", body)
    service.settled(community)
    service.do("admin", "DELETE", f"/v2/stores/file/{made.images['everywhere']}")
    service.do("admin", "DELETE", f"/v2/stores/second/{made.images['copied']}")
    service.patch("admin", made.images["located"], {"op": "remove", "path": "/locations/0"})


def _change_metadefs(service: Service, namespace: str) -> None:
    path = f"/v2/metadefs/namespaces/{namespace}"
    owner = service.identity.projects["demo"]
    described = {"namespace": namespace, "description": "told anew", "protected": False, "owner": owner}
    service.do("admin", "PUT", path, described | {"visibility": "public"})
    service.do("admin", "POST", f"{path}/properties", {"name": "more", "title": "More", "type": "string"})
    service.do("admin", "POST", f"{path}/tags/bronze")
    service.do("admin", "POST", f"{path}/resource_types", {"name": "OS::Cinder::Volume", "prefix": "v:"})
    if namespace.endswith("::whole"):
        service.do("admin", "PUT", f"{path}/objects/disk", {"name": "floppy", "description": "no disk"})
        service.do("admin", "DELETE", f"{path}/objects/bare")
        service.do("admin", "DELETE", f"{path}/tags/gold")
        service.do("admin", "DELETE", f"{path}/resource_types/OS::Glance::Image")
