"""A store of kind swift in `stores.backends`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ByteSize, Field, SecretStr, StringConstraints, model_validator

from upstream.identity.config import Url
from upstream.stores.backend import PARALLEL_READS_MAX, ParallelConfig
from upstream.stores.swift.urls import location_url, reference_url

_MIB = 1024 * 1024
PARTS_MAX = 10_000  # Source: Swift's container_listing_limit, past which a manifest's ETag proves nothing


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value():
        raise ValueError("expected a key, got an empty one")
    return secret


Text = Annotated[str, Field(min_length=1)]
Key = Annotated[SecretStr, AfterValidator(_filled)]
ContainerName = Annotated[str, StringConstraints(pattern=r"^[^/\x00-\x1f]{1,220}$")]
ReferenceName = Annotated[str, StringConstraints(pattern=r"^[^/@:?#\s]{1,255}$")]


class Reference(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """An account, by the names of glance_store's swift_store_config_file. Version 1 is Swift's own tempauth."""

    auth_address: Url
    auth_version: Literal[1, 3] = 3
    user: Text | None = None  # `project:user`
    key: Key | None = None
    application_credential_id: Text | None = None  # instead of user and key
    application_credential_secret: Key | None = None
    user_domain_id: Text | None = None
    user_domain_name: Text | None = None
    project_domain_id: Text | None = None
    project_domain_name: Text | None = None

    @model_validator(mode="after")
    def _logs_in(self) -> "Reference":
        by_user, by_application = (self.user, self.key), self.by_application
        if None in by_user and by_user != (None, None):
            raise ValueError("expected user and key together")
        if None in by_application and by_application != (None, None):
            raise ValueError("expected application_credential_id and application_credential_secret together")
        if (None in by_user) == (None in by_application):
            raise ValueError("expected either user and key, or an application credential")
        if self.auth_version == 1 and self.user is None:
            raise ValueError("auth_version 1 knows user and key only")
        if self.auth_version == 3 and self.user is not None and self.user.count(":") != 1:
            raise ValueError("user: expected the form project:user")
        return self

    @property
    def by_application(self) -> tuple[str | None, SecretStr | None]:
        return self.application_credential_id, self.application_credential_secret


class SwiftStoreConfig(ParallelConfig, frozen=True, extra="forbid", hide_input_in_errors=True):
    """Images as objects of one container, or of one for each beginning of an image id."""

    kind: Literal["swift"]
    references: Mapping[ReferenceName, Reference] = Field(min_length=1)
    default_reference: ReferenceName = "ref1"  # the account that uploads go to
    credentials_in_locations: bool = False  # False: new rows name the reference; True: they hold user and key
    further_auth_addresses: tuple[Url, ...] = ()  # where rows' own user and key may be shown, beside the references'
    container: ContainerName = "glance"
    create_container: bool = False
    multiple_containers_seed: int = Field(default=0, ge=0, le=32)
    large_object_size: ByteSize = Field(default=ByteSize(5120 * _MIB), ge=1)
    large_object_chunk_size: ByteSize = Field(default=ByteSize(200 * _MIB), ge=1)
    writes_max: int = Field(default=4, ge=1)  # segments of one image at once
    write_buffer_max: ByteSize = Field(default=ByteSize(64 * _MIB), ge=_MIB)  # of all uploads to this store
    region: Text | None = None
    endpoint: Url | None = None  # the account's storage URL; None: as the catalogue says it
    endpoint_type: Literal["public", "internal", "admin"] = "public"
    service_type: Text = "object-store"
    renew_before_s: float = Field(default=60.0, gt=0)  # the end of a token's life
    ca_file: Path | None = None  # None: the system's
    verify_tls: bool = True
    connect_s: float = Field(default=5.0, gt=0)
    first_byte_s: float = Field(default=30.0, gt=0)
    idle_s: float = Field(default=30.0, gt=0)
    parallel_reads_max: int = Field(default=PARALLEL_READS_MAX, ge=1)

    @model_validator(mode="after")
    def _default_is_known(self) -> "SwiftStoreConfig":
        if self.default_reference not in self.references:
            known = ", ".join(self.references)
            raise ValueError(f"default_reference: expected one of {known}, got {self.default_reference!r}")
        return self

    @property
    def default(self) -> Reference:
        return self.references[self.default_reference]

    def url(self, container: str, name: str) -> str:
        """The location of a new object, as glance_store writes it."""
        if not self.credentials_in_locations:
            return reference_url(self.default_reference, container, name)
        key = self.default.key
        secret = None if key is None else key.get_secret_value()
        return location_url(self.default.auth_address, self.default.user, secret, container, name)

    def own_prefixes(self) -> tuple[str, ...]:
        """In both forms, as rows may be older than the configuration."""
        forms = [self, self.model_copy(update={"credentials_in_locations": not self.credentials_in_locations})]
        urls = [form.url(self.container, "").removesuffix("/") for form in forms]
        ends = ("/", "_") if self.multiple_containers_seed else ("/",)
        return tuple(f"{url}{end}" for url in urls for end in ends)

    def further_prefixes(self) -> tuple[str, ...]:
        named = (f"swift+config://{reference}/" for reference in self.references)
        return (*named, "swift://", "swift+http://", "swift+https://")

    def properties(self) -> Mapping[str, Any]:
        return {
            "container": self.container,
            "large_object_size": int(self.large_object_size),
            "large_object_chunk_size": int(self.large_object_chunk_size),
        }
