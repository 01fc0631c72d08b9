"""Glance's tables of metadata definitions. Rows here are deleted for good: there is no `deleted` column."""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from upstream.registry.sql.tables import MYSQL, JsonText, metadata

Flag = Boolean(create_constraint=True)


def _times() -> tuple[Column[Any], ...]:
    return (Column("created_at", DateTime, nullable=False), Column("updated_at", DateTime))


def _namespace_id() -> Column[int]:
    return Column("namespace_id", Integer, ForeignKey("metadef_namespaces.id"), nullable=False)


metadef_namespaces = Table(
    "metadef_namespaces",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("namespace", String(80), nullable=False),
    Column("display_name", String(80)),
    Column("description", Text),
    Column("visibility", String(32)),
    Column("protected", Flag),
    Column("owner", String(255), nullable=False),
    *_times(),
    UniqueConstraint("namespace", name="uq_metadef_namespaces_namespace"),
    Index("ix_metadef_namespaces_owner", "owner"),
    **MYSQL,
)

metadef_resource_types = Table(
    "metadef_resource_types",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False),
    Column("protected", Flag, nullable=False),
    *_times(),
    UniqueConstraint("name", name="uq_metadef_resource_types_name"),
    **MYSQL,
)

metadef_namespace_resource_types = Table(
    "metadef_namespace_resource_types",
    metadata,
    Column("resource_type_id", Integer, primary_key=True),
    Column("namespace_id", Integer, primary_key=True),
    Column("properties_target", String(80)),
    Column("prefix", String(80)),
    *_times(),
    # In this order: MariaDB numbers them, and their numbers are their names.
    ForeignKeyConstraint(["namespace_id"], ["metadef_namespaces.id"]),
    ForeignKeyConstraint(["resource_type_id"], ["metadef_resource_types.id"]),
    Index("ix_metadef_ns_res_types_namespace_id", "namespace_id"),
    **MYSQL,
)

metadef_objects = Table(
    "metadef_objects",
    metadata,
    Column("id", Integer, primary_key=True),
    _namespace_id(),
    Column("name", String(80), nullable=False),
    Column("description", Text),
    Column("required", Text),
    Column("json_schema", JsonText, nullable=False),
    *_times(),
    UniqueConstraint("namespace_id", "name", name="uq_metadef_objects_namespace_id_name"),
    Index("ix_metadef_objects_name", "name"),
    **MYSQL,
)

metadef_properties = Table(
    "metadef_properties",
    metadata,
    Column("id", Integer, primary_key=True),
    _namespace_id(),
    Column("name", String(80), nullable=False),
    Column("json_schema", JsonText, nullable=False),
    *_times(),
    UniqueConstraint("namespace_id", "name", name="uq_metadef_properties_namespace_id_name"),
    Index("ix_metadef_properties_name", "name"),
    **MYSQL,
)

metadef_tags = Table(
    "metadef_tags",
    metadata,
    Column("id", Integer, primary_key=True),
    _namespace_id(),
    Column("name", String(80), nullable=False),
    *_times(),
    UniqueConstraint("namespace_id", "name", name="uq_metadef_tags_namespace_id_name"),
    Index("ix_metadef_tags_name", "name"),
    **MYSQL,
)
