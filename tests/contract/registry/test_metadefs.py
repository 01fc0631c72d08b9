"""Metadata definitions: what is kept, who sees it, and that nothing is read row by row."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.registry.world import ADMIN, NOBODY, OTHER, OWNER, World
from upstream.errors import Duplicate, Invalid, NotFound, UpstreamError
from upstream.registry import (
    Association,
    Definitions,
    Merge,
    MetadefObject,
    MetadefProperty,
    Metadefs,
    MetadefTag,
    Namespace,
    NamespaceQuery,
    Registry,
    TagQuery,
)
from upstream.registry.sql.metadefs import resource_types
from upstream.types import Context

SCHEMA = {"title": "Title", "type": "string", "enum": ["é", None], "items": {"type": "integer"}}
WHOLE = Definitions(
    namespace=Namespace(
        name="OS::Whole",
        owner="owner",
        display_name="Whole é",
        description="d" * 500,
        visibility="private",
        protected=True,
    ),
    associations=(
        Association(name="OS::Glance::Image"),
        Association(name="OS::Nova::Server", prefix="hw:", properties_target="metadata"),
    ),
    properties=(MetadefProperty(name="p", schema=SCHEMA), MetadefProperty(name="a", schema={"title": "", "type": ""})),
    objects=(
        MetadefObject(name="o", description="An object", required=("x", "y"), properties={"x": SCHEMA, "y": {}}),
        MetadefObject(name="empty"),
    ),
    tags=(MetadefTag(name="t"), MetadefTag(name="s")),
)


@pytest.fixture
def metadefs(registry: Registry) -> Metadefs:
    return registry.metadefs


def simple(name: str, owner: str = "owner", visibility: str = "private") -> Definitions:
    return Definitions(namespace=Namespace(name=name, owner=owner, visibility=visibility))


def timeless(definitions: Definitions) -> Definitions:
    """Without the times, which the registry sets; each must be one of the last minutes, and known."""
    things = (
        definitions.namespace,
        *definitions.associations,
        *definitions.properties,
        *definitions.objects,
        *definitions.tags,
    )
    for thing in things:
        for moment in (thing.created_at, thing.updated_at):
            assert moment is not None
            assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    never: Any = {"created_at": None, "updated_at": None}
    return replace(
        definitions,
        namespace=replace(definitions.namespace, **never),
        associations=tuple(replace(each, **never) for each in definitions.associations),
        properties=tuple(replace(each, **never) for each in definitions.properties),
        objects=tuple(replace(each, **never) for each in definitions.objects),
        tags=tuple(replace(each, **never) for each in definitions.tags),
    )


async def names(metadefs: Metadefs, context: Context, **query: object) -> list[str]:
    asked = {"sort_key": "namespace", "descending": False, **query}
    found = await metadefs.namespaces.list(context, NamespaceQuery(**asked))  # type: ignore[arg-type]
    return [each.namespace.name for each in found]


async def test_what_is_created_is_what_is_read(metadefs: Metadefs) -> None:
    created = await metadefs.namespaces.create(ADMIN, WHOLE)
    assert timeless(created) == WHOLE
    assert await metadefs.namespaces.definitions(OWNER, "OS::Whole") == created
    assert await metadefs.namespaces.get(OWNER, "OS::Whole") == created.namespace
    assert await metadefs.properties.list(OWNER, "OS::Whole") == list(created.properties)
    assert await metadefs.objects.get(OWNER, "OS::Whole", "o") == created.objects[0]
    assert await metadefs.tags.list(OWNER, "OS::Whole") == list(created.tags)
    assert await metadefs.resource_types.list(OWNER, "OS::Whole") == list(created.associations)
    assert [each.name for each in await metadefs.resource_types.all()] == ["OS::Glance::Image", "OS::Nova::Server"]


@pytest.mark.parametrize(
    "twice",
    [
        replace(WHOLE, properties=WHOLE.properties * 2),
        replace(WHOLE, objects=WHOLE.objects * 2),
        replace(WHOLE, tags=WHOLE.tags * 2),
        replace(WHOLE, associations=WHOLE.associations * 2),
    ],
)
async def test_a_name_that_comes_twice_makes_nothing_at_all(metadefs: Metadefs, twice: Definitions) -> None:
    with pytest.raises(Duplicate):
        await metadefs.namespaces.create(ADMIN, twice)
    assert await names(metadefs, ADMIN) == []
    assert await metadefs.resource_types.all() == []


@pytest.mark.parametrize(
    ("definitions", "fits"),
    [
        (simple("n" * 80, owner="o" * 255), True),
        (simple("n" * 81), False),
        (simple("n", owner="o" * 256), False),
        (replace(simple("n"), tags=(MetadefTag(name="t" * 80),)), True),
        (replace(simple("n"), tags=(MetadefTag(name="t" * 81),)), False),
        (replace(simple("n"), objects=(MetadefObject(name="o" * 81),)), False),
        (replace(simple("n"), properties=(MetadefProperty(name="p" * 81, schema={}),)), False),
        (replace(simple("n"), associations=(Association(name="a" * 81),)), False),
        (replace(simple("n"), associations=(Association(name="a", prefix="p" * 80),)), True),
        (replace(simple("n"), associations=(Association(name="a", prefix="p" * 81),)), False),
        (replace(simple("n"), objects=(MetadefObject(name="o", description="d" * 65535),)), True),
        (replace(simple("n"), objects=(MetadefObject(name="o", description="d" * 65536),)), False),
        (replace(simple("n"), tags=(MetadefTag(name="\U0001f600"),)), False),
    ],
)
async def test_what_no_column_holds_is_invalid_and_leaves_nothing(
    metadefs: Metadefs, definitions: Definitions, fits: bool
) -> None:
    if fits:
        await metadefs.namespaces.create(ADMIN, definitions)
        assert await names(metadefs, ADMIN) == [definitions.namespace.name]
    else:
        with pytest.raises(Invalid):
            await metadefs.namespaces.create(ADMIN, definitions)
        assert await names(metadefs, ADMIN) == []


async def test_private_namespaces_are_seen_by_their_project_and_by_admins(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, simple("mine"))
    await metadefs.namespaces.create(ADMIN, simple("open", owner="other", visibility="public"))
    for context, seen in ((ADMIN, ["mine", "open"]), (OWNER, ["mine", "open"]), (OTHER, ["open"]), (NOBODY, ["open"])):
        assert await names(metadefs, context) == seen
    for context in (OTHER, NOBODY):
        with pytest.raises(NotFound):
            await metadefs.namespaces.get(context, "mine")
        with pytest.raises(NotFound):
            await metadefs.namespaces.definitions(context, "mine")


async def test_nothing_of_a_hidden_namespace_can_be_read_or_changed(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, WHOLE)
    calls = [
        metadefs.namespaces.update(OTHER, "OS::Whole", WHOLE.namespace),
        metadefs.namespaces.delete(OTHER, "OS::Whole"),
        metadefs.resource_types.list(OTHER, "OS::Whole"),
        metadefs.resource_types.associate(OTHER, "OS::Whole", Association(name="x")),
        metadefs.resource_types.dissociate(OTHER, "OS::Whole", "OS::Nova::Server"),
        metadefs.properties.delete_all(OTHER, "OS::Whole"),
        metadefs.objects.list(OTHER, "OS::Whole"),
        metadefs.objects.create(OTHER, "OS::Whole", MetadefObject(name="x")),
        metadefs.objects.update(OTHER, "OS::Whole", "o", MetadefObject(name="x")),
        metadefs.objects.delete(OTHER, "OS::Whole", "o"),
        metadefs.tags.page(OTHER, "OS::Whole", TagQuery()),
        metadefs.tags.create_many(OTHER, "OS::Whole", ["x"], append=False),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert timeless(await metadefs.namespaces.definitions(ADMIN, "OS::Whole")) == WHOLE


async def test_pages_laid_end_to_end_are_the_list_whatever_it_is_sorted_by(metadefs: Metadefs) -> None:
    for number in range(7):
        shown = None if number % 3 == 0 else f"display {number % 2}"
        itself = replace(simple(f"ns {number}").namespace, display_name=shown, protected=number % 2 == 0)
        await metadefs.namespaces.create(ADMIN, Definitions(namespace=itself))
    for key in ("namespace", "display_name", "protected", "visibility", "description", "created_at", "id", "owner"):
        for descending in (True, False):
            asked = {"sort_key": key, "descending": descending}
            everything = await names(metadefs, ADMIN, **asked)
            assert len(everything) == 7
            paged: list[str] = []
            while page := await names(metadefs, ADMIN, **asked, limit=2, marker=paged[-1] if paged else None):
                paged += page
            assert paged == everything, asked


async def test_a_page_that_cannot_be_is_refused(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, WHOLE)
    for context, marker in ((ADMIN, "none"), (OTHER, "OS::Whole"), (ADMIN, "")):
        with pytest.raises(NotFound):
            await names(metadefs, context, marker=marker)
    with pytest.raises(NotFound):
        await metadefs.tags.page(ADMIN, "OS::Whole", TagQuery(marker="none"))
    for key in ("colour", "", "id; DROP TABLE images"):
        with pytest.raises(Invalid):
            await names(metadefs, ADMIN, sort_key=key)
        with pytest.raises(Invalid):
            await metadefs.tags.page(ADMIN, "OS::Whole", TagQuery(sort_key=key))


async def test_namespaces_are_filtered_by_visibility_and_by_resource_types(metadefs: Metadefs) -> None:
    server, image = Association(name="OS::Nova::Server"), Association(name="OS::Glance::Image")
    await metadefs.namespaces.create(ADMIN, replace(simple("both"), associations=(server, image)))
    await metadefs.namespaces.create(ADMIN, replace(simple("one", visibility="public"), associations=(server,)))
    await metadefs.namespaces.create(ADMIN, simple("none"))
    assert await names(metadefs, ADMIN, visibility="public") == ["one"]
    assert await names(metadefs, ADMIN, visibility="private") == ["both", "none"]
    assert await names(metadefs, ADMIN, resource_types=("OS::Nova::Server",)) == ["both", "one"]
    assert await names(metadefs, ADMIN, resource_types=("OS::Nova::Server", "OS::Glance::Image")) == ["both", "one"]
    assert await names(metadefs, OTHER, resource_types=("OS::Nova::Server",)) == ["one"]
    assert await names(metadefs, ADMIN, resource_types=("OS::Glance::Image",), visibility="public") == []
    assert await names(metadefs, ADMIN, resource_types=()) == []


async def test_a_namespace_is_renamed_with_all_it_holds(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, WHOLE)
    await metadefs.namespaces.create(ADMIN, simple("taken"))
    with pytest.raises(Duplicate):
        await metadefs.namespaces.update(ADMIN, "OS::Whole", replace(WHOLE.namespace, name="taken"))
    renamed = replace(WHOLE.namespace, name="new", description=None, owner="other")
    await metadefs.namespaces.update(ADMIN, "OS::Whole", renamed)
    found = timeless(await metadefs.namespaces.definitions(OTHER, "new"))
    assert found == replace(WHOLE, namespace=renamed)
    with pytest.raises(NotFound):
        await metadefs.namespaces.get(ADMIN, "OS::Whole")


async def test_a_deleted_namespace_takes_what_it_holds_along_and_may_come_again(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, WHOLE)
    await metadefs.namespaces.delete(ADMIN, "OS::Whole")
    with pytest.raises(NotFound):
        await metadefs.namespaces.delete(ADMIN, "OS::Whole")
    await metadefs.namespaces.create(ADMIN, simple("OS::Whole"))
    empty = await metadefs.namespaces.definitions(ADMIN, "OS::Whole")
    assert (empty.properties, empty.objects, empty.tags, empty.associations) == ((), (), (), ())
    assert len(await metadefs.resource_types.all()) == 2  # these belong to nobody


async def test_items_are_made_changed_renamed_and_deleted(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, simple("ns"))
    made = await metadefs.objects.create(ADMIN, "ns", MetadefObject(name="a", required=("x",)))
    assert (made.name, made.required) == ("a", ("x",))
    await metadefs.objects.create(ADMIN, "ns", MetadefObject(name="b"))
    with pytest.raises(Duplicate):
        await metadefs.objects.create(ADMIN, "ns", MetadefObject(name="a"))
    with pytest.raises(Duplicate):
        await metadefs.objects.update(ADMIN, "ns", "b", MetadefObject(name="a"))
    changed = await metadefs.objects.update(ADMIN, "ns", "a", MetadefObject(name="c", description="new"))
    assert (changed.name, changed.required, changed.description) == ("c", (), "new")
    assert changed.created_at == made.created_at
    with pytest.raises(NotFound):
        await metadefs.objects.get(ADMIN, "ns", "a")
    assert [each.name for each in await metadefs.objects.list(ADMIN, "ns")] == ["c", "b"]
    await metadefs.objects.delete(ADMIN, "ns", "c")
    for gone in (metadefs.objects.delete(ADMIN, "ns", "c"), metadefs.objects.update(ADMIN, "ns", "c", made)):
        with pytest.raises(NotFound):
            await gone
    await metadefs.objects.delete_all(ADMIN, "ns")
    assert await metadefs.objects.list(ADMIN, "ns") == []


async def test_a_list_of_tags_replaces_or_is_added_or_changes_nothing(metadefs: Metadefs) -> None:
    async def there() -> list[str]:
        return [each.name for each in await metadefs.tags.list(ADMIN, "ns")]

    await metadefs.namespaces.create(ADMIN, simple("ns"))
    await metadefs.tags.create_many(ADMIN, "ns", ["b", "a"], append=False)
    assert await there() == ["b", "a"]
    await metadefs.tags.create_many(ADMIN, "ns", ["c"], append=True)
    assert await there() == ["b", "a", "c"]
    for given, append in ((["d", "a"], True), (["e", "e"], False)):
        with pytest.raises(Duplicate):
            await metadefs.tags.create_many(ADMIN, "ns", given, append=append)
    await metadefs.tags.create_many(ADMIN, "ns", [], append=False)
    assert await there() == ["b", "a", "c"]
    await metadefs.tags.create_many(ADMIN, "ns", ["z"], append=False)
    assert await there() == ["z"]


async def test_tags_come_in_pages(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, replace(simple("ns"), tags=tuple(MetadefTag(name=n) for n in "badce")))
    by_name = TagQuery(sort_key="name", descending=False, limit=2)
    assert [each.name for each in await metadefs.tags.page(ADMIN, "ns", by_name)] == ["a", "b"]
    assert [each.name for each in await metadefs.tags.page(ADMIN, "ns", replace(by_name, marker="b"))] == ["c", "d"]
    assert [each.name for each in await metadefs.tags.page(ADMIN, "ns", TagQuery())] == list("ecdab")


async def test_an_association_makes_its_resource_type_once(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, simple("ns"))
    await metadefs.namespaces.create(ADMIN, simple("other"))
    made = await metadefs.resource_types.associate(ADMIN, "ns", Association(name="T", prefix="p:"))
    assert (made.name, made.prefix) == ("T", "p:")
    await metadefs.resource_types.associate(ADMIN, "other", Association(name="T"))
    with pytest.raises(Duplicate):
        await metadefs.resource_types.associate(ADMIN, "ns", Association(name="T"))
    assert [each.name for each in await metadefs.resource_types.all()] == ["T"]
    await metadefs.resource_types.dissociate(ADMIN, "ns", "T")
    for gone in (metadefs.resource_types.dissociate(ADMIN, "ns", "T"), metadefs.resource_types.get(ADMIN, "ns", "T")):
        with pytest.raises(NotFound):
            await gone
    assert [each.name for each in await metadefs.resource_types.list(ADMIN, "other")] == ["T"]


async def test_more_resource_types_are_looked_for_than_a_statement_has_parameters(world: World) -> None:
    await world.registry.metadefs.namespaces.create(ADMIN, WHOLE)
    names = [f"OS::{number}" for number in range(33_000)]
    async with world.sql.database.read() as connection:
        found = await resource_types._find(connection, [*names, "OS::Nova::Server"])
    assert list(found) == ["OS::Nova::Server"]


async def test_however_much_there_is_it_is_read_in_few_statements(world: World) -> None:
    metadefs = world.registry.metadefs
    many = replace(
        WHOLE,
        properties=tuple(MetadefProperty(name=f"p{n}", schema=SCHEMA) for n in range(60)),
        objects=tuple(MetadefObject(name=f"o{n}") for n in range(60)),
        tags=tuple(MetadefTag(name=f"t{n}") for n in range(60)),
        associations=tuple(Association(name=f"OS::T{n}") for n in range(60)),
    )
    for number in range(12):
        await metadefs.namespaces.create(ADMIN, replace(many, namespace=simple(f"n{number}").namespace))

    async def statements_of(read: object) -> int:
        with world.counted() as statements:
            await read  # type: ignore[misc]
        return sum(statement.lstrip().upper().startswith("SELECT") for statement in statements)

    assert await statements_of(metadefs.namespaces.definitions(ADMIN, "n3")) == 5
    assert await statements_of(metadefs.namespaces.list(ADMIN, NamespaceQuery(marker="n3"))) == 3
    assert await statements_of(metadefs.objects.list(ADMIN, "n3")) == 2
    assert await statements_of(metadefs.catalogue.export()) == 5


async def test_the_catalogue_is_loaded_exported_and_cleared(metadefs: Metadefs) -> None:
    assert await metadefs.catalogue.load(WHOLE, Merge.SKIP)
    assert not await metadefs.catalogue.load(simple("OS::Whole"), Merge.SKIP)
    assert await metadefs.catalogue.load(simple("A"), Merge.OVERWRITE)
    found = await metadefs.catalogue.export()
    assert [timeless(each) for each in found] == [simple("A"), WHOLE]
    await metadefs.catalogue.clear()
    assert await metadefs.catalogue.export() == []
    assert await metadefs.resource_types.all() == []


async def test_a_load_that_fails_half_way_leaves_what_was_there(metadefs: Metadefs) -> None:
    await metadefs.catalogue.load(WHOLE, Merge.SKIP)
    bad = replace(WHOLE, tags=(MetadefTag(name="t" * 81),))
    for merge in (Merge.ADD, Merge.PREFER_NEW, Merge.OVERWRITE):
        with pytest.raises(UpstreamError):
            await metadefs.catalogue.load(replace(bad, properties=()), merge)
    assert [timeless(each) for each in await metadefs.catalogue.export()] == [WHOLE]
