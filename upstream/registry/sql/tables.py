"""Glance's database schema, release 2024.1 and later: the tables of images, tasks and cached images.

Names, types and nullability are Glance's own, so that either service opens the other's database. A test compares them
with facts recorded from `glance-manage db sync`. Sources: glance/db/sqlalchemy/models.py and its alembic migrations.
"""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

metadata = MetaData()

# SQLite numbers rows by itself only in a column that is called INTEGER.
Big = BigInteger().with_variant(Integer(), "sqlite")

# Glance's migrations write CHECK (deleted IN (0, 1)) where the database has no boolean type; on SQLite `images` lost
# its checks when a migration copied it.
Flag = Boolean(create_constraint=True)

MYSQL: Mapping[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8"}


class JsonText(TypeDecorator[Any]):
    """JSON in a text column, as Glance keeps it: the databases' own JSON types would change the schema."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


def _numbered_check(number: int, column: str) -> Iterator[CheckConstraint]:
    """A check of `images` under the name that MariaDB, or MySQL, gave it by its number; the first went with its column.

    The other databases have none.
    """
    for is_mariadb, name in ((True, f"CONSTRAINT_{number}"), (False, f"images_chk_{number}")):
        check = CheckConstraint(f"{column} in (0,1)", name=name)
        yield check.ddl_if("mysql", partial(_is_mariadb, is_mariadb))


def _is_mariadb(wanted: bool, *_: object, dialect: Dialect, **__: object) -> bool:  # noqa: FBT001 - of `partial`
    return bool(getattr(dialect, "is_mariadb", False)) is wanted


def _times(flag: Boolean = Flag) -> tuple[Column[Any], ...]:
    return (
        Column("created_at", DateTime, nullable=False),
        Column("updated_at", DateTime),
        Column("deleted_at", DateTime),
        Column("deleted", flag, nullable=False),
    )


images = Table(
    "images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255)),
    Column("size", Big),
    Column("status", String(30), nullable=False),
    *_times(Boolean()),
    Column("disk_format", String(20)),
    Column("container_format", String(20)),
    Column("checksum", String(32)),
    Column("owner", String(255)),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("protected", Boolean, nullable=False, server_default=false()),
    Column("virtual_size", Big),
    Column(
        "visibility",
        Enum("private", "public", "shared", "community", name="image_visibility"),
        nullable=False,
        server_default="shared",
    ),
    Column("os_hidden", Boolean, nullable=False, server_default=false()),
    Column("os_hash_algo", String(64)),
    Column("os_hash_value", String(128)),
    Index("checksum_image_idx", "checksum"),
    Index("visibility_image_idx", "visibility"),
    Index("ix_images_deleted", "deleted"),
    Index("owner_image_idx", "owner"),
    Index("created_at_image_idx", "created_at"),
    Index("updated_at_image_idx", "updated_at"),
    Index("os_hidden_image_idx", "os_hidden"),
    Index("os_hash_value_image_idx", "os_hash_value"),
    *_numbered_check(2, "deleted"),
    *_numbered_check(3, "protected"),
    **MYSQL,
)

image_properties = Table(
    "image_properties",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", String(36), ForeignKey("images.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("value", Text),
    *_times(),
    Index("ix_image_properties_image_id", "image_id"),
    Index("ix_image_properties_deleted", "deleted"),
    UniqueConstraint("image_id", "name", name="ix_image_properties_image_id_name"),
    **MYSQL,
)

image_tags = Table(
    "image_tags",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", String(36), ForeignKey("images.id"), nullable=False),
    Column("value", String(255), nullable=False),
    *_times(),
    Index("ix_image_tags_image_id", "image_id"),
    Index("ix_image_tags_image_id_tag_value", "image_id", "value"),
    **MYSQL,
)

image_locations = Table(
    "image_locations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", String(36), ForeignKey("images.id"), nullable=False),
    Column("value", Text, nullable=False),
    *_times(),
    Column("meta_data", JsonText),
    Column("status", String(30), nullable=False, server_default="active"),
    Index("ix_image_locations_image_id", "image_id"),
    Index("ix_image_locations_deleted", "deleted"),
    **MYSQL,
)

image_members = Table(
    "image_members",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", String(36), ForeignKey("images.id"), nullable=False),
    Column("member", String(255), nullable=False),
    Column("can_share", Flag, nullable=False),
    *_times(),
    Column("status", String(20), nullable=False, server_default="pending"),
    Index("ix_image_members_deleted", "deleted"),
    Index("ix_image_members_image_id", "image_id"),
    Index("ix_image_members_image_id_member", "image_id", "member"),
    UniqueConstraint("image_id", "member", "deleted_at", name="image_members_image_id_member_deleted_at_key"),
    **MYSQL,
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("type", String(30), nullable=False),
    Column("status", String(30), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("expires_at", DateTime),
    *_times(),
    Column("image_id", String(36)),
    Column("request_id", String(64)),
    Column("user_id", String(64)),
    Index("ix_tasks_type", "type"),
    Index("ix_tasks_status", "status"),
    Index("ix_tasks_owner", "owner"),
    Index("ix_tasks_deleted", "deleted"),
    Index("ix_tasks_updated_at", "updated_at"),
    Index("ix_tasks_image_id", "image_id"),
    **MYSQL,
)

task_info = Table(
    "task_info",
    metadata,
    Column("task_id", String(36), ForeignKey("tasks.id"), primary_key=True),
    Column("input", JsonText),
    Column("result", JsonText),
    Column("message", Text),
    **MYSQL,
)

node_reference = Table(
    "node_reference",
    metadata,
    Column("node_reference_id", Big, primary_key=True, autoincrement=True),
    Column("node_reference_url", String(255), nullable=False),
    UniqueConstraint("node_reference_url", name="uq_node_reference_node_reference_url"),
    **MYSQL,
)

cached_images = Table(
    "cached_images",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=True),
    Column("image_id", String(36), nullable=False),
    Column("last_accessed", DateTime, nullable=False),
    Column("last_modified", DateTime, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("hits", Integer, nullable=False),
    Column("checksum", String(32)),
    Column("node_reference_id", Big, ForeignKey("node_reference.node_reference_id"), nullable=False),
    UniqueConstraint("image_id", "node_reference_id", name="ix_cached_images_image_id_node_reference_id"),
    **MYSQL,
)

alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
