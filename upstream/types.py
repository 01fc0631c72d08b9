"""The nouns that proxy and upstream share: who asks, and what an image is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

NO_PROPERTIES: Mapping[str, str | None] = MappingProxyType({})


class Visibility(StrEnum):
    PUBLIC = "public"
    COMMUNITY = "community"
    SHARED = "shared"
    PRIVATE = "private"


class Status(StrEnum):
    """States of an image. Which may follow which is in `TRANSITIONS`."""

    QUEUED = "queued"
    SAVING = "saving"
    UPLOADING = "uploading"
    IMPORTING = "importing"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    KILLED = "killed"
    PENDING_DELETE = "pending_delete"
    DELETED = "deleted"


# Source: glance/domain/__init__.py, Image.valid_state_targets.
TRANSITIONS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.QUEUED: frozenset(
            {Status.SAVING, Status.UPLOADING, Status.IMPORTING, Status.ACTIVE, Status.DELETED},
        ),
        Status.SAVING: frozenset({Status.ACTIVE, Status.KILLED, Status.DELETED, Status.QUEUED}),
        Status.UPLOADING: frozenset({Status.IMPORTING, Status.QUEUED, Status.DELETED}),
        Status.IMPORTING: frozenset({Status.ACTIVE, Status.DELETED, Status.QUEUED}),
        Status.ACTIVE: frozenset({Status.PENDING_DELETE, Status.DELETED, Status.DEACTIVATED}),
        Status.DEACTIVATED: frozenset({Status.ACTIVE, Status.DELETED}),
        Status.KILLED: frozenset({Status.DELETED}),
        Status.PENDING_DELETE: frozenset({Status.DELETED, Status.ACTIVE}),
        Status.DELETED: frozenset(),
    },
)


@dataclass(frozen=True, kw_only=True)
class Context:
    """Who asks, as Keystone said it. Roles are lower case.

    `is_admin` is the policy's answer to `context_is_admin`, set once by the middleware: the registry needs it to
    decide visibility and knows no policy. The token is kept for calls made on the user's behalf and never printed.
    """

    user_id: str | None = None
    project_id: str | None = None
    user_domain_id: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    system_scope: str | None = None
    roles: frozenset[str] = frozenset()
    service_roles: frozenset[str] = frozenset()
    is_admin: bool = False
    read_only: bool = False
    request_id: str = ""
    token: str | None = field(default=None, repr=False)

    def of_request(self, request_id: str, service_roles: frozenset[str]) -> "Context":
        """The same caller in one of his requests. `replace` of dataclasses costs as much as a query of the database."""
        context = object.__new__(Context)
        vars(context).update(vars(self), request_id=request_id, service_roles=service_roles)
        return context


GLINT = Context(roles=frozenset({"admin"}), is_admin=True)
"""Glint itself, on behalf of those whose rights were asked for before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One place where an image's bytes lie. The URL may hold credentials, so it is never printed."""

    url: str = field(repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    status: str = "active"
    id: int | None = None

    @property
    def store(self) -> str | None:
        """The store's id as the row says it; rows older than Train say `backend`, the oldest nothing."""
        named = self.metadata.get("store") or self.metadata.get("backend")
        return named if isinstance(named, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image's metadata, one consistent reading. Times are UTC and aware."""

    id: str
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    status: Status = Status.QUEUED
    visibility: Visibility = Visibility.SHARED
    disk_format: str | None = None
    container_format: str | None = None
    size_bytes: int | None = None
    virtual_size_bytes: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    owner: str | None = None
    protected: bool = False
    os_hidden: bool = False
    properties: Mapping[str, str | None] = field(default_factory=lambda: NO_PROPERTIES)
    tags: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()
    member: str | None = None  # the asking project, if the image is shared and another's


class TaskStatus(StrEnum):
    """pending, then processing, then success or failure; a pending task may also fail at once."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The record of work that goes on after its request was answered. Times are UTC and aware.

    `input` and `result` are JSON objects; `expires_at` is known once the work has ended.
    """

    id: str
    type: str
    owner: str
    created_at: datetime
    updated_at: datetime
    status: TaskStatus = TaskStatus.PENDING
    expires_at: datetime | None = None
    image_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    input: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    message: str = ""


class MemberStatus(StrEnum):
    """What a project made of an image that is shared with it."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A project that an image is shared with. Times are UTC and aware."""

    image_id: str
    project_id: str
    status: MemberStatus
    created_at: datetime
    updated_at: datetime
