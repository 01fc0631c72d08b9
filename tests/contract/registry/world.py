"""The registries under test, and what a test must do behind their back: one line in `KINDS` is one more kind."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import event

from upstream.registry import Registry, RegistryConfig
from upstream.registry.sql import SqlRegistry, open_registry
from upstream.registry.sql.rows import now
from upstream.registry.sql.tables import image_members, image_properties, image_tags, images
from upstream.types import Context, Image, Status, Visibility

ADMIN = Context(user_id="root", project_id="admin", roles=frozenset({"admin"}), is_admin=True)
OWNER = Context(user_id="anna", project_id="owner", roles=frozenset({"member"}))
OTHER = Context(user_id="bert", project_id="other", roles=frozenset({"member"}))
NOBODY = Context()
T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def new_image(**fields: Any) -> Image:
    """An active private image of OWNER, with what the test cares about."""
    usual = {
        "id": str(uuid4()),
        "created_at": T0,
        "updated_at": T0,
        "owner": OWNER.project_id,
        "status": Status.ACTIVE,
        "visibility": Visibility.PRIVATE,
    }
    return Image(**{**usual, **fields})


@dataclass(frozen=True, slots=True)
class World:
    """A registry, and the database behind it."""

    registry: Registry
    sql: SqlRegistry

    async def share(self, image_id: str, project: str, status: str) -> None:
        """Make `project` a member of the image that answered `status`."""
        moment = now()
        async with self.sql.database.write() as connection:
            row = {"image_id": image_id, "member": project, "status": status, "can_share": False, "deleted": False}
            await connection.execute(image_members.insert(), [{**row, "created_at": moment, "updated_at": moment}])

    async def fill(self, count: int) -> None:
        """Rows that would take long one by one: `count` images of OWNER, each with two properties and a tag."""
        ids = [str(uuid4()) for _ in range(count)]
        common = {"created_at": now(), "updated_at": now(), "deleted": False}
        rows = [
            {"id": each, "name": f"image {number}", "status": "active", "owner": OWNER.project_id, "size": number}
            | {"min_disk": 0, "min_ram": 0, "visibility": "private"}
            for number, each in enumerate(ids)
        ]
        properties = [{"image_id": each, "name": name, "value": name} for each in ids for name in ("os", "arch")]
        async with self.sql.database.write() as connection:
            await connection.execute(images.insert(), [row | common for row in rows])
            await connection.execute(image_properties.insert(), [row | common for row in properties])
            await connection.execute(image_tags.insert(), [{"image_id": each, "value": "t"} | common for each in ids])

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The statements that reach the database meanwhile."""
        statements: list[str] = []

        def note(connection: object, cursor: object, statement: str, *_: object) -> None:
            statements.append(statement)

        for engine in self.sql.database.engines:
            event.listen(engine.sync_engine, "before_cursor_execute", note)
        yield statements
        for engine in self.sql.database.engines:
            event.remove(engine.sync_engine, "before_cursor_execute", note)


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[World]:
    async with open_registry(RegistryConfig(url=f"sqlite:///{folder}/registry.db")) as registry:
        yield World(registry, registry)


KINDS: Mapping[str, Callable[[Path], AbstractAsyncContextManager[World]]] = {"sqlite": sqlite}
