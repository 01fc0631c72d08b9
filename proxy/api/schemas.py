"""The JSON schemas that are served, and the checks made with the very same documents. Pure.

Shape and keys are Glance's: nova and the clients read `properties`, `enum` and `is_base` out of them.
Source: glance/api/v2/images.py, get_base_properties; glance/schema.py.
"""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from proxy.api.config import ApiConfig
from proxy.errors import BadRequest

Document = Mapping[str, Any]

_MESSAGE_MAX = 500
_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
_STATUSES = (
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "uploading",
    "importing",
    "pending_delete",
    "deactivated",
)


class Schemas:
    """The documents of one configuration, each built once, with the validators made of them."""

    def __init__(self, config: ApiConfig) -> None:
        properties = image_properties(config)
        self.image: Document = _image(properties, additional=config.allow_additional_image_properties)
        self.images: Document = _images(self.image)
        self.member: Document = {"name": "member", "properties": _MEMBER_PROPERTIES}
        self.members: Document = _collection("members", self.member)
        self.task: Document = {"name": "task", "properties": _TASK_PROPERTIES}
        self.tasks: Document = _collection("tasks", {"name": "task", "properties": _TASK_STUB_PROPERTIES})
        self._image = Draft202012Validator(self.image)
        self._attributes = {name: Draft202012Validator(schema) for name, schema in properties.items()}
        self._add_location = Draft202012Validator(_ADD_LOCATION)
        self._additional = config.allow_additional_image_properties

    def check_image(self, body: object) -> None:
        """Raises BadRequest if `body` is no image that a client may send."""
        if not isinstance(body, dict):
            raise BadRequest("The body must be a JSON object that describes an image.")
        _check(self._image, body, "image")

    def check_attribute(self, name: str, value: object) -> None:
        """Raises BadRequest if the attribute or custom property `name` cannot have this value."""
        if (validator := self._attributes.get(name)) is not None:
            _check(validator, value, name)
        elif not self._additional:
            raise BadRequest(f"Custom properties such as '{name}' are not allowed here.")
        elif not isinstance(value, str):
            raise BadRequest(f"'{name}': a custom property must be a string.")

    def check_add_location(self, body: object) -> None:
        """Raises BadRequest if `body` is not what POST …/locations takes."""
        _check(self._add_location, body, "location")


def _check(validator: Draft202012Validator, value: object, what: str) -> None:
    # The first error is enough: looking for the best one would read all of a body that is wrong throughout.
    error = next(validator.iter_errors(value), None)
    if error is not None:
        path = ".".join([what, *(str(part) for part in error.absolute_path)])
        message = error.message
        if len(message) > _MESSAGE_MAX:
            message = f"{message[:_MESSAGE_MAX]}…"
        raise BadRequest(f"The body does not match the schema: {path}: {message}")


def image_properties(config: ApiConfig) -> dict[str, dict[str, Any]]:
    """The properties of the image schema, in the order in which they are served."""
    return {
        "id": _described("An identifier for the image", type="string", pattern=_UUID),
        "name": _described("A descriptive name", type=["null", "string"], maxLength=255),
        "status": _read_only("State of the image", type="string", enum=list(_STATUSES)),
        "visibility": _described(
            "Who can see the image", type="string", enum=["community", "public", "private", "shared"]
        ),
        "protected": _described("Whether the image is kept from being deleted", type="boolean"),
        "os_hidden": _described("Whether lists leave the image out unless asked for it", type="boolean"),
        "checksum": _read_only("md5 of the image data", type=["null", "string"], maxLength=32),
        "os_hash_algo": _read_only("Algorithm of os_hash_value", type=["null", "string"], maxLength=64),
        "os_hash_value": _read_only(
            "Digest of the image data by os_hash_algo, in hexadecimal", type=["null", "string"], maxLength=128
        ),
        "owner": _described("The project that owns the image", type=["null", "string"], maxLength=255),
        "size": _read_only("Size of the image data in bytes", type=["null", "integer"]),
        "virtual_size": _read_only("Size of the disk in the image in bytes", type=["null", "integer"]),
        "container_format": _described(
            "Format of the container", type=["null", "string"], enum=[None, *config.container_formats]
        ),
        "disk_format": _described("Format of the disk", type=["null", "string"], enum=[None, *config.disk_formats]),
        "created_at": _read_only("When the image was registered", type="string"),
        "updated_at": _read_only("When the image was last changed", type="string"),
        "tags": _described("Strings that group images", type="array", items={"type": "string", "maxLength": 255}),
        "direct_url": _read_only("Where the data lie in their store", type="string"),
        "min_ram": _described("Memory in MB that the image needs to boot", type="integer"),
        "min_disk": _described("Disk space in GB that the image needs to boot", type="integer"),
        "self": _read_only("URL of the image", type="string"),
        "file": _read_only("URL of the image data", type="string"),
        "stores": _read_only("The stores that hold the data, separated by commas", type="string"),
        "schema": _read_only("URL of this schema", type="string"),
        "locations": {"type": "array", "items": _LOCATION, "description": "Where the data lie in their stores"},
    }


def _described(description: str, **rules: Any) -> dict[str, Any]:
    return {**rules, "description": description}


def _read_only(description: str, **rules: Any) -> dict[str, Any]:
    return {**rules, "readOnly": True, "description": description}


_LOCATION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "maxLength": 255},
        "metadata": {"type": "object"},
        "validation_data": {
            "description": "Digests of the data, taken over by a queued image and compared by any other",
            "type": "object",
            "writeOnly": True,
            "additionalProperties": False,
            "properties": {
                "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
                "os_hash_algo": {"type": "string", "maxLength": 64},
                "os_hash_value": {"type": "string", "maxLength": 128},
            },
            "required": ["os_hash_algo", "os_hash_value"],
        },
    },
    "required": ["url", "metadata"],
}

_ADD_LOCATION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "url": {"type": "string"},
        "validation_data": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "os_hash_algo": {"type": "string", "enum": ["sha1", "sha256", "sha512", "md5"]},
                "os_hash_value": {"type": "string", "maxLength": 128},
            },
            "dependentRequired": {"os_hash_value": ["os_hash_algo"], "os_hash_algo": ["os_hash_value"]},
        },
    },
    "required": ["url"],
}

_MEMBER_PROPERTIES: dict[str, Any] = {
    "member_id": {"type": "string", "description": "The project that the image is shared with"},
    "image_id": {"type": "string", "description": "An identifier for the image", "pattern": _UUID},
    "created_at": {"type": "string", "description": "When the member was added"},
    "updated_at": {"type": "string", "description": "When the member was last changed"},
    "status": {
        "type": "string",
        "description": "What the member made of it",
        "enum": ["pending", "accepted", "rejected"],
    },
    "schema": {"readOnly": True, "type": "string"},
}

_TASK_STUB_PROPERTIES: dict[str, Any] = {
    "id": {"type": "string", "description": "An identifier for the task", "pattern": _UUID},
    "type": {
        "type": "string",
        "description": "What the task does",
        "enum": ["import", "api_image_import", "location_import"],
    },
    "status": {
        "type": "string",
        "description": "How far the task is",
        "enum": ["pending", "processing", "success", "failure"],
    },
    "owner": {"type": "string", "description": "The project that owns the task"},
    "image_id": {"type": "string", "description": "The image that the task works on"},
    "request_id": {"type": "string", "description": "The request that made the task"},
    "user_id": {"type": "string", "description": "The user who made the task"},
    "expires_at": {"type": ["null", "string"], "description": "When the task may be forgotten"},
    "created_at": {"type": "string", "description": "When the task was created"},
    "updated_at": {"type": "string", "description": "When the task was last changed"},
    "self": {"readOnly": True, "type": "string"},
    "schema": {"readOnly": True, "type": "string"},
}

_TASK_PROPERTIES: dict[str, Any] = {
    **_TASK_STUB_PROPERTIES,
    "input": {"type": ["null", "object"], "description": "What the task was given"},
    "result": {"type": ["null", "object"], "description": "What the task came to"},
    "message": {"type": "string", "description": "What went wrong, for people"},
}

_IMAGE_LINKS = [
    {"rel": "self", "href": "{self}"},
    {"rel": "enclosure", "href": "{file}"},
    {"rel": "describedby", "href": "{schema}"},
]


def _image(properties: Document, *, additional: bool) -> Document:
    return {
        "name": "image",
        "properties": properties,
        "additionalProperties": {"type": "string"} if additional else False,
        "links": _IMAGE_LINKS,
    }


def _images(image: Document) -> Document:
    return {
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": image},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def _collection(name: str, item: Document) -> Document:
    return {
        "name": name,
        "properties": {name: {"type": "array", "items": item}, "schema": {"type": "string"}},
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }
