"""A PATCH of an image: from the two JSON-patch media types to differences for the registry. Pure.

First every operation is read and checked by itself, then they are applied in order; the caller asks the policy
between the two and takes operations on locations to where stores can be asked.
Source: glance/api/v2/images.py, RequestDeserializer.update and ImagesController.update.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from proxy.api import image_fields
from proxy.api.config import ApiConfig
from proxy.api.schemas import Schemas
from proxy.errors import BadRequest, Forbidden, StateConflict, UnsupportedMediaType
from proxy.policy import Action
from upstream.registry import ImageChanges
from upstream.types import Image, Status

V20 = "application/openstack-images-v2.0-json-patch"
V21 = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPES = (V20, V21)
LOCATIONS = "locations"
OWNER_IS_FOR_ADMINS = "Owner can't be updated by non admin."


class Verb(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


_VERBS = ", ".join(Verb)
_LOCATIONS_DEPTH: Mapping[Verb, int] = MappingProxyType({Verb.ADD: 2, Verb.REMOVE: 2, Verb.REPLACE: 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One change: `path` is decoded, its first part the attribute. `is_v20`: adding what exists is a conflict."""

    verb: Verb
    path: tuple[str, ...]
    value: Any = None
    is_v20: bool = False

    @property
    def name(self) -> str:
        return self.path[0]


def parse(media_type: str, body: object, schemas: Schemas) -> tuple[Operation, ...]:
    """Raises UnsupportedMediaType, BadRequest, and Forbidden for attributes that no client may write."""
    if not isinstance(body, list):
        raise BadRequest("The body must be a JSON array of operation objects.")
    return tuple(_operation(raw, schemas, is_v20=media_type == V20) for raw in body)


def check_media_type(media_type: str) -> None:
    if media_type not in MEDIA_TYPES:
        raise UnsupportedMediaType(f"A PATCH must have one of the types {', '.join(MEDIA_TYPES)}.", MEDIA_TYPES)


def _operation(raw: object, schemas: Schemas, *, is_v20: bool) -> Operation:
    if not isinstance(raw, dict):
        raise BadRequest("Every operation must be a JSON object.")
    verb, pointer = _v20(raw) if is_v20 else _v21(raw)
    path = decode_pointer(pointer)
    expected = _LOCATIONS_DEPTH[verb] if path[0] == LOCATIONS else 1
    if len(path) != expected:
        raise BadRequest(f"Invalid JSON pointer for this resource: '/{'/'.join(path)}'.")
    if verb is not Verb.REMOVE and "value" not in raw:
        raise BadRequest(f'The operation "{verb}" needs a member named "value".')
    operation = Operation(verb=verb, path=path, value=raw.get("value"), is_v20=is_v20)
    _check(operation, schemas)
    return operation


def _v21(raw: Mapping[str, Any]) -> tuple[Verb, object]:
    if raw.get("op") not in tuple(Verb):
        raise BadRequest(f"Invalid operation {raw.get('op')!r}: `op` must be one of {_VERBS}.")
    if "path" not in raw:
        raise BadRequest("The operation lacks its member `path`.")
    return Verb(raw["op"]), raw["path"]


def _v20(raw: Mapping[str, Any]) -> tuple[Verb, object]:
    verbs = [verb for verb in Verb if verb in raw]
    if len(verbs) != 1:
        raise BadRequest(f"Every operation must have exactly one member of {_VERBS}.")
    return verbs[0], raw[verbs[0]]


def decode_pointer(pointer: object) -> tuple[str, ...]:
    """The parts of a JSON pointer, at least one; blanks around a part do not count. Raises BadRequest.

    As in Glance the slash in front may be doubled, and no part is empty but the only one: a custom property's name is
    any text, also none. Source: glance/api/v2/images.py, _validate_json_pointer and _decode_json_pointer.
    """
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise BadRequest(f"The pointer {pointer!r} must be a string that starts with '/'.")
    if re.search("~(?![01])", pointer):
        raise BadRequest(f"The pointer {pointer!r} has a '~' that is neither '~0' nor '~1'.")
    parts = tuple(part.replace("~1", "/").replace("~0", "~").strip() for part in _undoubled(pointer)[1:].split("/"))
    if not all(parts) and len(parts) > 1:
        raise BadRequest(f"The pointer {pointer!r} has an empty part.")
    return parts


def _undoubled(pointer: str) -> str:
    return pointer[1:] if pointer.startswith("//") and pointer.strip() != "//" else pointer


def _check(operation: Operation, schemas: Schemas) -> None:
    name = operation.name
    if name != LOCATIONS:
        image_fields.check_name(name)
    if operation.verb is Verb.REMOVE:
        return
    if name == LOCATIONS and operation.verb is Verb.ADD:
        schemas.check_attribute(name, [operation.value])
    else:
        schemas.check_attribute(name, operation.value)


class Draft:
    """An image while operations are applied to it. Knows no locations: those need stores."""

    def __init__(self, image: Image, may: image_fields.May) -> None:
        """`image` has only the properties that may be read, which is to the caller as if there were no others."""
        self._image, self._may = image, may
        self._columns: dict[str, Any] = {}
        self._tags: Sequence[str] | None = None
        self._set: dict[str, str | None] = {}
        self._removed: set[str] = set()

    def apply(self, operation: Operation, *, is_admin: bool) -> None:
        """Raises StateConflict, Forbidden, BadRequest; what was applied before stays applied to this draft only."""
        if operation.name in image_fields.SETTABLE:
            self._apply_to_attribute(operation, is_admin=is_admin)
        else:
            self._apply_to_property(operation)

    def _apply_to_attribute(self, operation: Operation, *, is_admin: bool) -> None:
        name = operation.name
        if operation.verb is Verb.REMOVE:
            raise Forbidden(f"Property {name} may not be removed.")
        if name == "owner" and not is_admin:
            raise Forbidden(OWNER_IS_FOR_ADMINS)
        if operation.verb is Verb.ADD and operation.is_v20:
            raise StateConflict(f"Property {name} already present.")
        if name in {"disk_format", "container_format"} and self._image.status not in {Status.QUEUED, Status.IMPORTING}:
            raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")
        value = image_fields.column_value(name, operation.value)
        if name == "tags":
            self._tags = operation.value  # as sent, for the quota
        else:
            self._columns[name] = value

    def _apply_to_property(self, operation: Operation) -> None:
        name = operation.name
        is_there = name in self._set or (name in self._image.properties and name not in self._removed)
        is_there = is_there and self._may(Action.READ, name)  # what was set unseen a moment ago is still unseen
        if operation.verb is Verb.ADD and operation.is_v20 and is_there:
            raise StateConflict(f"Property {name} already present.")
        if operation.verb is not Verb.ADD and not is_there:
            raise StateConflict(f"Property {name} does not exist.")
        if not self._may(_action(operation.verb, is_there=is_there), name):
            raise image_fields.protected(name)
        if operation.verb is Verb.REMOVE:
            self._set.pop(name, None)
            self._removed.add(name)
        else:
            self._removed.discard(name)
            self._set[name] = image_fields.property_value(name, operation.value)

    def changes(self, config: ApiConfig) -> ImageChanges:
        """The differences. Raises TooLarge if new properties or tags pass their quota, BadRequest for a long name."""
        for name in self._set:
            image_fields.check_length(name)
        if self._tags is not None:
            image_fields.check_tag_quota(self._tags, config)
        if not self._set.keys() <= self._image.properties.keys():
            kept = self._image.properties.keys() - self._removed
            image_fields.check_property_quota(kept | self._set.keys(), config)
        return ImageChanges(
            columns=dict(self._columns),
            set_properties=dict(self._set),
            removed_properties=frozenset(self._removed & self._image.properties.keys()),
            tags=None if self._tags is None else tuple(dict.fromkeys(self._tags)),
        )


def _action(verb: Verb, *, is_there: bool) -> Action:
    """Setting what is not there is creating it."""
    if verb is Verb.REMOVE:
        return Action.DELETE
    return Action.UPDATE if is_there else Action.CREATE
