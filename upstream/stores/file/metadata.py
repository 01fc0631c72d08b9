"""The metadata of new locations that Glance has of its filesystem_store_metadata_file, for clients that mount a folder.

Source: glance_store/_drivers/filesystem.py, _validate_metadata and _get_metadata.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jsonschema import ValidationError, validate

from upstream.errors import Invalid

_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"id": {"type": "string"}, "mountpoint": {"type": "string"}},
        "required": ["id", "mountpoint"],
        "additionalProperties": {"type": ["string", "array", "object"]},
    },
}
Mounts = Sequence[Mapping[str, Any]]


def read_mounts(key: str, path: Path) -> Mounts:
    """An object for each mount, or one alone. Raises Invalid, which says what is wrong with the file of this `key`."""
    try:
        found = json.loads(path.read_bytes())
        mounts = [found] if isinstance(found, dict) else found
        validate(mounts, _SCHEMA)
    except OSError as error:
        raise Invalid(f"{key}: {path} cannot be read: {error.strerror}") from error
    except (ValueError, ValidationError) as error:
        expected = 'expected JSON such as {"id": "…", "mountpoint": "/srv/images"}, or a list of these'
        raise Invalid(f"{key}: {path}: {expected}") from error
    return mounts


def mount_of(mounts: Mounts, path: PurePosixPath) -> Mapping[str, Any]:
    """The first that the path lies in; nothing if it lies in none."""
    return next((mount for mount in mounts if path.is_relative_to(mount["mountpoint"])), {})
