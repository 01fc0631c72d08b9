"""The body of an import request, and what of it can be refused by looking at the image. Pure.

Source of the rules and their order: glance/api/v2/images.py, import_image.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.errors import BadRequest, StateConflict
from upstream.stores import StoreInfo
from upstream.types import Image, Status

GLANCE_DIRECT = "glance-direct"
WEB_DOWNLOAD = "web-download"
COPY_IMAGE = "copy-image"
GLANCE_DOWNLOAD = "glance-download"

# In which state an image has to be for each.
STATUS_BEFORE: Mapping[str, Status] = {
    GLANCE_DIRECT: Status.UPLOADING,
    WEB_DOWNLOAD: Status.QUEUED,
    COPY_IMAGE: Status.ACTIVE,
    GLANCE_DOWNLOAD: Status.QUEUED,
}
_PUBLIC = "public"
_INTERFACES = frozenset({"public", "internal", "admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What the client sent: `document` is all of it, `method` the part that says where the data come from."""

    document: Mapping[str, Any]
    method: Mapping[str, Any]
    name: str
    all_stores: bool
    all_stores_must_succeed: bool

    @property
    def copies(self) -> bool:
        return self.name == COPY_IMAGE

    @property
    def uri(self) -> str | None:
        """What web-download asks: blanks around it do not count, as in Glance. None if it is no text."""
        uri = self.method.get("uri")
        return uri.strip() if isinstance(uri, str) else None


def parse(document: Any, methods: Collection[str]) -> ImportRequest:
    """Raises BadRequest."""
    method = document.get("method") if isinstance(document, dict) else None
    if not isinstance(method, dict):
        raise BadRequest("Import request requires a 'method' field, an object.")
    name = method.get("name")
    if name is None:
        raise BadRequest("Import request requires a 'name' field.")
    if not isinstance(name, str) or name not in methods:
        raise BadRequest(f"Unknown import method name '{str(name)[:80]}'.")
    flags = {"all_stores": False, "all_stores_must_succeed": True}
    for flag, usual in flags.items():
        flags[flag] = document.get(flag, usual)
        if not isinstance(flags[flag], bool):
            raise BadRequest(f"'{flag}' must be boolean value only")
    return ImportRequest(document=document, method=method, name=name, **flags)


def check_state(image: Image, request: ImportRequest) -> None:
    """Raises StateConflict."""
    if image.status is Status.ACTIVE and not request.copies:
        raise StateConflict("Image with status active cannot be target for import")
    if image.status is not STATUS_BEFORE[request.name]:
        messages = {
            COPY_IMAGE: "Only images with status active can be targeted for copying",
            GLANCE_DIRECT: "Image needs to be staged before 'glance-direct' method can be used",
        }
        queued = f"Image needs to be in 'queued' state to use '{request.name}' method"
        raise StateConflict(messages.get(request.name, queued))
    for name in ("container_format", "disk_format"):
        if not getattr(image, name):
            raise StateConflict(f"'{name}' needs to be set before import")


def check_remote(request: ImportRequest) -> None:
    """What glance-download needs to know. Raises BadRequest."""
    if request.name != GLANCE_DOWNLOAD:
        return
    for name in ("glance_region", "glance_image_id"):
        if not isinstance(request.method.get(name), str):
            raise BadRequest(f"'{name}' needs to be set for glance-download import method")
    try:
        uuid.UUID(request.method["glance_image_id"])
    except ValueError:
        raise BadRequest("The remote image id does not look like a UUID.") from None
    if request.method.get("glance_service_interface", _PUBLIC) not in _INTERFACES:
        raise BadRequest(f"'glance_service_interface' is one of {', '.join(sorted(_INTERFACES))}")


def with_defaults(request: ImportRequest) -> Mapping[str, Any]:
    """The document as it is kept in the record of the task."""
    if request.name != GLANCE_DOWNLOAD:
        return request.document
    return {**request.document, "method": {**request.method, "glance_service_interface": interface_of(request.method)}}


def interface_of(method: Mapping[str, Any]) -> str:
    return str(method.get("glance_service_interface", _PUBLIC))


def chosen_stores(request: ImportRequest, header: str | None, infos: Sequence[StoreInfo]) -> list[str]:
    """The stores that take the data, in the order in which they do. Raises BadRequest, StateConflict."""
    named = request.document.get("stores")
    if request.all_stores:
        if "stores" in request.document or header is not None:
            raise BadRequest("All_stores parameter can't be used with x-image-meta-store header or stores parameter")
        return [info.id for info in infos if not info.is_read_only]
    if "stores" not in request.document:
        named = [header] if header is not None else [info.id for info in infos if info.is_default]
    elif header is not None:
        raise BadRequest("Stores parameter and x-image-meta-store header can't be both specified")
    if not isinstance(named, list) or not all(isinstance(store, str) for store in named):
        raise BadRequest("'stores' must be a list of the ids of stores")
    known = {info.id for info in infos}
    for store in named:
        if store not in known:
            raise StateConflict(f"There is no store '{store[:80]}'.")
    return list(dict.fromkeys(named))


def without_present(request: ImportRequest, stores: Sequence[str], present: Collection[str | None]) -> list[str]:
    """The stores that a copy is still missing in. Raises BadRequest for one that was named and has it."""
    if not request.all_stores:
        for store in stores:
            if store in present:
                raise BadRequest(f"Image is already present at store '{store}'")
    return [store for store in stores if store not in present]
