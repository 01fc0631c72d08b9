"""An image of another Glance: what of it is taken over, and its data."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Self

from proxy.api import import_requests
from proxy.api.image_fields import NAME_MAX, RESERVED_PREFIX
from proxy.errors import BadRequest
from upstream.errors import Invalid
from upstream.glances import Glances
from upstream.registry import ImageChanges
from upstream.types import Image

_FORMATS = ("disk_format", "container_format")
_VALUE_MAX = 65535


@dataclass(slots=True, kw_only=True)
class RemoteImage:
    """Found once. Its metadata are what a stranger says, so each value is looked at before it is taken over."""

    glances: Glances = field(repr=False)
    token: str | None = field(repr=False)
    endpoint: str
    image_id: str
    document: Mapping[str, Any] = field(repr=False)
    size_bytes: int
    _before: ImageChanges | None = None

    @classmethod
    async def found(cls, glances: Glances | None, token: str | None, method: Mapping[str, Any]) -> Self:
        """Raises Invalid, NotFound, Denied, Unavailable, and BadRequest for an image that has no data."""
        if glances is None:
            raise Invalid("Without Keystone there is no catalogue that could name another Glance.")
        region, interface = method["glance_region"], import_requests.interface_of(method)
        endpoint = await glances.endpoint(region, interface)
        image_id = method["glance_image_id"]
        document = await glances.image(endpoint, image_id, token)
        if document.get("status") != "active":
            raise BadRequest(f"Source image status should be active instead of {str(document.get('status'))[:40]}")
        size_bytes = document.get("size")
        if not isinstance(size_bytes, int) or size_bytes < 0:
            raise BadRequest(f"Size attribute of remote image {image_id} could not be determined.")
        return cls(
            glances=glances,
            token=token,
            endpoint=endpoint,
            image_id=image_id,
            document=document,
            size_bytes=size_bytes,
        )

    @property
    def sha512(self) -> str | None:
        value = self.document.get("os_hash_value")
        return value if self.document.get("os_hash_algo") == "sha512" and isinstance(value, str) else None

    def data(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self.glances.data(self.endpoint, self.image_id, self.token, self.size_bytes)

    def changes(self, image: Image, prefixes: Collection[str]) -> ImageChanges:
        """Formats and chosen properties. Source: glance/async_/flows/api_image_import.py, _ImportMetadata."""
        columns = {name: value for name in _FORMATS if isinstance(value := self.document.get(name), str)}
        taken = {
            name: value
            for name, value in self.document.items()
            if name.startswith(tuple(prefixes)) and _is_storable(name, value)
        }
        self._before = ImageChanges(
            columns={name: getattr(image, name) for name in columns},
            set_properties={name: image.properties[name] for name in taken if name in image.properties},
            removed_properties=[name for name in taken if name not in image.properties],
        )
        return ImageChanges(columns=columns, set_properties=taken)

    def undone(self) -> ImageChanges:
        """What makes the image what it was before `changes`."""
        return self._before or ImageChanges()


def _is_storable(name: str, value: object) -> bool:
    return (
        not name.startswith(RESERVED_PREFIX)
        and len(name) <= NAME_MAX
        and isinstance(value, str)
        and "\0" not in value
        and len(value.encode("utf-8", "replace")) <= _VALUE_MAX
    )
