"""The `api:` section of config.yaml."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, Field

from upstream.stores import ImportFilterConfig
from upstream.types import Image

_MIB = 1024 * 1024
_NAME_MAX = 255
_RESERVED_PREFIX = "os_glance"
_ATTRIBUTES = frozenset(attribute.name for attribute in fields(Image)) | {
    *("min_disk", "min_ram", "size", "virtual_size", "deleted", "deleted_at"),
    *("location", "direct_url", "self", "file", "schema", "stores"),
}
_STORAGE = re.compile(r"(\d{1,15}) *(?:([KMGT])?i?B)?", re.ASCII)
_POWERS = {None: 0, "K": 1, "M": 2, "G": 3, "T": 4}


def _storage_bytes(value: Any) -> Any:
    """Glance's own notation: a KB is 1024 bytes there. Source: glance/api/common.py, get_remaining_quota."""
    if not isinstance(value, str):
        return value
    match = _STORAGE.fullmatch(value)
    if match is None:
        raise ValueError('expected a size such as 500GB or "500 GiB", both of 1024-byte KB, or 0 for no limit')
    return int(match[1]) * 1024 ** _POWERS[match[2]]


def _injectable(name: str) -> str:
    if not 0 < len(name) <= _NAME_MAX or name.startswith(_RESERVED_PREFIX) or name in _ATTRIBUTES:
        raise ValueError(f"expected names of custom properties, of 1 to {_NAME_MAX} characters, got {name!r}")
    return name


class InjectMetadataConfig(BaseModel, frozen=True, extra="forbid"):
    """`api.inject_metadata`: Glance's section inject_metadata_properties."""

    ignore_user_roles: tuple[str, ...] = ("admin",)
    inject: dict[Annotated[str, AfterValidator(_injectable)], str] = {}


class ConversionConfig(BaseModel, frozen=True, extra="forbid"):
    """`api.conversion`: Glance's section image_conversion."""

    output_format: Literal["raw", "qcow2", "vmdk"] = "raw"


class ApiConfig(BaseModel, frozen=True, extra="forbid"):
    """What the Images API shows, accepts and limits. A quota below zero is no quota.

    Names and defaults are Glance's, so that a configuration can be carried over key by key.
    """

    show_multiple_locations: bool = False
    show_image_direct_url: bool = False
    import_methods: tuple[Literal["glance-direct", "web-download", "copy-image", "glance-download"], ...] = (
        "glance-direct",
        "web-download",
        "copy-image",
    )
    import_filter: ImportFilterConfig = ImportFilterConfig()
    import_plugins: tuple[
        Literal["no_op", "inject_image_metadata", "image_conversion", "image_decompression"], ...
    ] = ()
    inject_metadata: InjectMetadataConfig = InjectMetadataConfig()
    conversion: ConversionConfig = ConversionConfig()
    glance_download_properties: tuple[str, ...] = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")
    staging_dir: Path = Path("var/staging")
    tasks_max: int = Field(default=16, ge=1)
    task_time_to_live_h: float = Field(default=48.0, gt=0)
    cache_api: bool = True
    policy_file: Path | None = None
    enforce_scope: bool = True
    enforce_new_defaults: bool = True
    property_protection_file: Path | None = None
    property_protection_rule_format: Literal["roles", "policies"] = "roles"
    image_schema_file: Path | None = None
    limit_param_default: int = Field(default=25, ge=1)
    api_limit_max: int = Field(default=1000, ge=1)
    image_size_cap: ByteSize = Field(default=ByteSize(1024 * 1024 * _MIB), gt=0)
    user_storage_quota: Annotated[int, BeforeValidator(_storage_bytes)] = Field(default=0, ge=0)  # bytes of a project
    use_keystone_limits: bool = False
    do_secure_hash: bool = True
    http_retries: int = Field(default=3, ge=1)
    image_member_quota: int = 128
    image_property_quota: int = 128
    image_tag_quota: int = 128
    image_location_quota: int = 10
    disk_formats: tuple[str, ...] = (
        "ami",
        "ari",
        "aki",
        "vhd",
        "vhdx",
        "vmdk",
        "raw",
        "qcow2",
        "vdi",
        "iso",
        "ploop",
    )
    container_formats: tuple[str, ...] = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
    require_image_format_match: bool = True
    vmdk_allowed_types: tuple[str, ...] = ("streamOptimized", "monolithicSparse")
    gpt_safety_checks_nonfatal: tuple[str, ...] = ()
    allow_additional_image_properties: bool = True
    max_request_id_length: int = Field(default=64, ge=0, le=16384)
    json_body_max: ByteSize = Field(default=ByteSize(_MIB), gt=0)
    healthcheck_disable_file: Path | None = None
    healthcheck_detailed: bool = False
