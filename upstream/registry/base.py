"""What a registry must answer, one small Protocol per resource. Visibility is decided behind these, before policy."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from upstream.registry.locations import Locations
from upstream.registry.metadefs import Metadefs
from upstream.types import Context, Image, Location, Member, MemberStatus, Status, Task, TaskStatus, Visibility


class Order(StrEnum):
    ASCENDING = "asc"
    DESCENDING = "desc"


class Operator(StrEnum):
    """How a filter compares. `IN` takes a tuple, the others one value."""

    EQ = "eq"
    NEQ = "neq"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    IN = "in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One condition on a column of images, or on a custom property (`is_property`). Values have the column's type."""

    field: str
    operator: Operator
    value: Any
    is_property: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """A page of a list. `sort` always ends in a unique key, so that pages neither repeat nor lose a row.

    Field names are those of the API (`size`, `min_ram`), which are those of the columns.
    """

    filters: tuple[Filter, ...] = ()
    tags: tuple[str, ...] = ()  # all of them
    visibility: Visibility | None = None  # None with `all_visibilities` False: Glance's default set
    all_visibilities: bool = False
    member_status: str = "accepted"  # or pending, rejected, all
    os_hidden: bool = False
    sort: tuple[tuple[str, Order], ...] = (("created_at", Order.DESCENDING), ("id", Order.DESCENDING))
    marker: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChanges:
    """What an update does, as differences: two updates of different properties do not undo each other.

    `columns` uses the API's names (`name`, `size`, `os_hash_value`, …). `locations`, when given, is the whole new list:
    a location with an id stays, one without is new, a missing one goes. `added_locations` come behind those that are
    there, `removed_locations` are ids: neither touches what others add or remove meanwhile.
    """

    columns: Mapping[str, Any] = field(default_factory=dict)
    set_properties: Mapping[str, str | None] = field(default_factory=dict)
    removed_properties: Collection[str] = ()
    tags: Collection[str] | None = None
    locations: Sequence[Location] | None = None
    added_locations: Sequence[Location] = ()
    removed_locations: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class ProjectUsage:
    """What a project has. An image counts as often as it has locations; `stored_bytes` may leave one image out."""

    stored_bytes: int = 0
    staged_bytes: int = 0
    images: int = 0
    uploading: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What a project may have once a change is made. Counted in the transaction of the change, so that no two changes
    pass it together.
    """

    project_id: str | None
    other_bytes_max: int | None = None  # of image data beside the changed image's
    images_max: int | None = None
    uploading_max: int | None = None


IMPORT_LOCK = "os_glance_import_task"
"""The property that is the import lock: its value is the id of the task that works on the image, if there is one."""


STAGE_HOST = "os_glance_stage_host"
"""The property that says which host has the staged data: its URL as the host itself gives it. Glance reads it too."""

HASH_HOST = "os_glance_hash_op_host"
"""The same for the host that hashes a new location. Only Glance writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What an update has to do with the import lock, in its own transaction: compare, then set.

    `before` is who must hold it, None for nobody; `after` is who holds it then. `record` is kept in that transaction
    too, so that no lock is ever seen whose task there is no record of.
    """

    before: tuple[str | None, ...]
    after: str | None
    record: Task | None = None

    @classmethod
    def take(cls, task: Task, *, stale: str | None = None) -> "Lock":
        """Take it for a new task, if nobody has it or the task that is known to be `stale`."""
        return cls(before=(None,) if stale is None else (None, stale), after=task.id, record=task)

    @classmethod
    def hold(cls, task_id: str) -> "Lock":
        """Change the image only while this task still has it."""
        return cls(before=(task_id,), after=task_id)

    @classmethod
    def drop(cls, task_id: str) -> "Lock":
        """Give it back with this last change."""
        return cls(before=(task_id,), after=None)


class Images(Protocol):
    """Image rows. Every read is a fresh one: a deactivated image stops at once."""

    async def get(self, context: Context, image_id: str) -> Image:
        """Raises NotFound if there is none, or none that `context` may see: the caller cannot tell which."""

    async def list(self, context: Context, query: ImageQuery) -> Sequence[Image]:
        """One page. Raises Invalid if the marker names no image that `context` may see."""

    async def create(self, context: Context, image: Image, *, ceiling: Ceiling | None = None) -> Image:
        """Raises Duplicate if the id was ever used, LimitExceeded."""

    async def update(
        self,
        context: Context,
        image_id: str,
        changes: ImageChanges,
        *,
        from_status: Collection[Status] = (),
        ceiling: Ceiling | None = None,
        lock: Lock | None = None,
    ) -> Image:
        """Apply all of `changes` in one transaction and return what the image then is.

        With `from_status`, only while the image is in one of these: the check and the change are one statement.
        With `lock`, only while the import lock is held as it says; a Glance on the same database obeys it too.
        Raises NotFound, Conflict if the status or the holder is another, LimitExceeded if the project would have more
        than its `ceiling`; nothing is changed then.
        """

    async def delete(
        self, context: Context, image_id: str, *, delayed: bool = False, left: Collection[int] = ()
    ) -> Image:
        """Soft delete, and what the image was. Its id stays taken. Raises NotFound.

        The data at its locations are deleted by now, but for those whose ids are `left`, which are `pending_delete`
        then; `delayed`, all of them are, and so is the image if it has any.
        """


class Tags(Protocol):
    async def add(self, context: Context, image_id: str, tag: str) -> None:
        """Adding a tag that is there changes nothing. Raises NotFound for the image."""

    async def remove(self, context: Context, image_id: str, tag: str) -> None:
        """Raises NotFound for the image and for the tag."""


class Usage(Protocol):
    async def of(self, project_id: str | None, *, without_image: str | None = None) -> ProjectUsage:
        """What the project has; for None, what belongs to nobody. `without_image` is left out of `stored_bytes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """A page of a list of tasks. `filters` compare columns of tasks for equality; `sort_key` is one of them."""

    filters: Mapping[str, str] = field(default_factory=dict)
    sort_key: str = "created_at"
    order: Order = Order.DESCENDING
    marker: str | None = None
    limit: int | None = None


class Tasks(Protocol):
    """Records of work in the background. Of others than admins everybody sees those of his project.

    Records that have expired are deleted softly by whoever lists tasks of their project.
    """

    async def create(self, task: Task) -> None:
        """Raises Invalid for what no column takes."""

    async def get(self, context: Context, task_id: str) -> Task:
        """Raises NotFound if there is none, or none that `context` may see."""

    async def list(self, context: Context, query: TaskQuery) -> Sequence[Task]:
        """One page, without `input`, `result` and `message`. Raises Invalid for an unknown marker or sort key."""

    async def of_image(self, context: Context, image_id: str) -> Sequence[Task]:
        """All that have not expired, oldest first; who may see the image is the caller's question."""

    async def stale(self, status: TaskStatus, before: datetime, limit: int) -> Sequence[Task]:
        """Everybody's tasks of this status of which nothing was heard since then."""

    async def touch(self, task_id: str, message: str = "") -> None:
        """Say that the work goes on, and how far it is: `updated_at` moves. Raises Conflict if it is not processing."""

    async def begin(self, task_id: str) -> None:
        """From pending to processing, in one statement. Raises Conflict if it is not pending."""

    async def end(
        self,
        task_id: str,
        status: TaskStatus,
        *,
        expires_at: datetime,
        result: Mapping[str, Any] | None = None,
        message: str = "",
    ) -> None:
        """To success, from processing only, or to failure, in one statement. Raises Conflict if it has ended."""


class Members(Protocol):
    """The projects that images are shared with. Its owner and admins see all of an image, others only themselves."""

    async def list(self, context: Context, image_id: str) -> Sequence[Member]:
        """In the order in which they came to be members; none of an image that is not there."""

    async def get(self, context: Context, image_id: str, project_id: str) -> Member:
        """Raises NotFound."""

    async def add(self, context: Context, image_id: str, project_id: str, *, quota: int) -> Member:
        """A new member, who has not answered yet. A `quota` below zero is none.

        Raises NotFound for the image, LimitExceeded if it has `quota` members already, and Duplicate. Of several adds
        at once none slips by either.
        """

    async def answer(self, context: Context, image_id: str, project_id: str, status: MemberStatus) -> Member:
        """Raises NotFound for the image and for the member."""

    async def remove(self, context: Context, image_id: str, project_id: str) -> None:
        """Raises NotFound for the image and for the member."""


class Registry(Protocol):
    """What the composition root opens, and `open_registry` closes; one attribute per resource."""

    @property
    def images(self) -> Images: ...

    @property
    def tags(self) -> Tags: ...

    @property
    def locations(self) -> Locations: ...

    @property
    def usage(self) -> Usage: ...

    @property
    def tasks(self) -> Tasks: ...

    @property
    def members(self) -> Members: ...

    @property
    def metadefs(self) -> Metadefs: ...

    async def check(self) -> None:
        """Raises Unavailable if the registry cannot answer now."""
