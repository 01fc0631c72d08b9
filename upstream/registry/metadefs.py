"""Metadata definitions: what they are, and what a registry must answer about them.

A namespace holds properties, objects (groups of properties), tags, and says which resource types it is meant for.
Everything in it is named once; who sees the namespace sees all of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from upstream.types import Context

PropertySchema = Mapping[str, Any]  # title, type, and what else is said of the values
NAME_MAX = 80
OWNER_MAX = 255
DEFAULT_OWNER = "admin"  # of a file that names none, as in Glance


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When a thing was made and changed, in UTC; None before it was kept, `updated_at` perhaps after it too."""

    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named(Times):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace(Named):
    owner: str
    display_name: str | None = None
    description: str | None = None
    visibility: str = "private"  # or public
    protected: bool = False  # it and what it holds cannot be deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType(Named):
    """Its name is one that Heat knows, such as OS::Glance::Image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Association(ResourceType):
    """A resource type that a namespace is meant for; `prefix` stands before its properties' names there."""

    prefix: str | None = None
    properties_target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadefProperty(Named):
    schema: PropertySchema


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadefObject(Named):
    description: str | None = None
    required: tuple[str, ...] = ()
    properties: Mapping[str, PropertySchema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadefTag(Named):
    """A word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """A namespace and all that it holds. In a list only `associations` are filled."""

    namespace: Namespace
    associations: tuple[Association, ...] = ()
    properties: tuple[MetadefProperty, ...] = ()
    objects: tuple[MetadefObject, ...] = ()
    tags: tuple[MetadefTag, ...] = ()

    def prefixed(self, resource_type: str) -> "Definitions":
        """With the names that the properties have on a resource type; the same if it gives none a prefix."""
        prefix = next((each.prefix for each in self.associations if each.name == resource_type), None)
        if not prefix:
            return self
        return replace(
            self,
            properties=tuple(replace(each, name=prefix + each.name) for each in self.properties),
            objects=tuple(
                replace(
                    each,
                    required=tuple(prefix + name for name in each.required),
                    properties={prefix + name: schema for name, schema in each.properties.items()},
                )
                for each in self.objects
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceQuery:
    """A page of namespaces. Columns have the API's names."""

    visibility: str | None = None
    resource_types: tuple[str, ...] | None = None  # any of these; None: whatever they are meant for
    sort_key: str = "created_at"
    descending: bool = True
    marker: str | None = None  # a namespace's name
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagQuery:
    """A page of the tags of a namespace."""

    sort_key: str = "created_at"
    descending: bool = True
    marker: str | None = None  # a tag's name
    limit: int | None = None


class Merge(StrEnum):
    """What becomes of a namespace that is loaded when there is one of its name. Source: glance-manage load_metadefs."""

    SKIP = "skip"  # it stays as it is
    ADD = "add"  # what is new is added, nothing is changed
    PREFER_NEW = "prefer-new"  # what is new is added, what has the same name is changed, the rest stays
    OVERWRITE = "overwrite"  # it goes with all it holds, and the new one comes


class Namespaces(Protocol):
    """Namespaces that `context` may not see are not found."""

    async def get(self, context: Context, name: str) -> Namespace:
        """Raises NotFound."""

    async def definitions(self, context: Context, name: str) -> Definitions:
        """The namespace with all it holds, as of one moment. Raises NotFound."""

    async def list(self, context: Context, query: NamespaceQuery) -> Sequence[Definitions]:
        """One page. Raises NotFound if `context` may see no namespace of the marker's name, Invalid for a sort key."""

    async def create(self, context: Context, definitions: Definitions) -> Definitions:
        """All of it or nothing. Raises Duplicate if the namespace is there, or a name in it comes twice."""

    async def update(self, context: Context, name: str, namespace: Namespace) -> Namespace:
        """Give it these attributes, perhaps another name. Raises NotFound, Duplicate."""

    async def delete(self, context: Context, name: str) -> None:
        """With all it holds. Raises NotFound."""


class ResourceTypes(Protocol):
    """Resource types are made when first associated, belong to nobody and stay."""

    async def all(self) -> Sequence[ResourceType]: ...

    async def list(self, context: Context, namespace: str) -> Sequence[Association]:
        """Raises NotFound for the namespace."""

    async def get(self, context: Context, namespace: str, name: str) -> Association:
        """Raises NotFound."""

    async def associate(self, context: Context, namespace: str, association: Association) -> Association:
        """Raises NotFound for the namespace, Duplicate."""

    async def dissociate(self, context: Context, namespace: str, name: str) -> None:
        """Raises NotFound."""


Item = TypeVar("Item", bound=Named)


class Items(Protocol[Item]):
    """What a namespace holds by name. Everything raises NotFound for the namespace."""

    async def list(self, context: Context, namespace: str) -> Sequence[Item]:
        """In the order in which they were made."""

    async def get(self, context: Context, namespace: str, name: str) -> Item:
        """Raises NotFound."""

    async def create(self, context: Context, namespace: str, item: Item) -> Item:
        """Raises Duplicate."""

    async def update(self, context: Context, namespace: str, name: str, item: Item) -> Item:
        """Put `item` in the place of the one called `name`. Raises NotFound, Duplicate."""

    async def delete(self, context: Context, namespace: str, name: str) -> None:
        """Raises NotFound."""

    async def delete_all(self, context: Context, namespace: str) -> None: ...


class MetadefTags(Items[MetadefTag], Protocol):
    async def page(self, context: Context, namespace: str, query: TagQuery) -> Sequence[MetadefTag]:
        """Raises NotFound for the marker too, Invalid for a sort key."""

    async def create_many(self, context: Context, namespace: str, names: Sequence[str], *, append: bool) -> None:
        """All or none; without `append` in the place of those that are there. Raises Duplicate."""


class Catalogue(Protocol):
    """All definitions, past visibility: for the operator."""

    async def load(self, definitions: Definitions, merge: Merge) -> bool:
        """Take one namespace in, in one transaction; False if it was there and nothing was done.

        Raises Duplicate if a name in it comes twice, Invalid for what a column cannot hold.
        """

    async def export(self) -> Sequence[Definitions]:
        """Everything, as of one moment, by the namespaces' names."""

    async def clear(self) -> None:
        """Remove everything, resource types too."""


class Metadefs(Protocol):
    """The metadata definitions of a registry; one attribute per resource."""

    @property
    def namespaces(self) -> Namespaces: ...

    @property
    def resource_types(self) -> ResourceTypes: ...

    @property
    def properties(self) -> Items[MetadefProperty]: ...

    @property
    def objects(self) -> Items[MetadefObject]: ...

    @property
    def tags(self) -> MetadefTags: ...

    @property
    def catalogue(self) -> Catalogue: ...
