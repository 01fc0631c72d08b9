"""The attributes of images, members and tasks as JSON schemas say them. Pure.

Keys and rules are Glance's. Source: glance/api/v2/images.py, get_base_properties; image_members.py; tasks.py.
"""

from typing import Any

from proxy.api.config import ApiConfig

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

ADD_LOCATION: dict[str, Any] = {
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

MEMBER: dict[str, Any] = {
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

TASK_STUB: dict[str, Any] = {
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

TASK: dict[str, Any] = {
    **TASK_STUB,
    "input": {"type": ["null", "object"], "description": "What the task was given"},
    "result": {"type": ["null", "object"], "description": "What the task came to"},
    "message": {"type": "string", "description": "What went wrong, for people"},
}
