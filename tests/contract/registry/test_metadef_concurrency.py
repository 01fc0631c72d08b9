"""Metadata definitions that are changed by many at once."""

import asyncio
from collections.abc import Awaitable

import pytest

from tests.contract.registry.world import ADMIN
from upstream.errors import Duplicate, NotFound
from upstream.registry import Association, Definitions, Merge, MetadefObject, Metadefs, MetadefTag, Namespace, Registry

AT_ONCE = 8


@pytest.fixture
def metadefs(registry: Registry) -> Metadefs:
    return registry.metadefs


def namespace(name: str, tags: tuple[MetadefTag, ...] = ()) -> Definitions:
    return Definitions(namespace=Namespace(name=name, owner="owner"), tags=tags)


async def outcomes(*calls: Awaitable[object]) -> list[object]:
    """What came of calls that ran at once: their results or exceptions."""
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def test_of_many_who_make_one_namespace_one_does(metadefs: Metadefs) -> None:
    whole = namespace("ns", tags=(MetadefTag(name="t"),))
    found = await outcomes(*(metadefs.namespaces.create(ADMIN, whole) for _ in range(AT_ONCE)))
    assert sum(isinstance(each, Duplicate) for each in found) == AT_ONCE - 1, found
    assert len((await metadefs.namespaces.definitions(ADMIN, "ns")).tags) == 1


async def test_many_associate_one_new_resource_type_with_namespaces_of_theirs(metadefs: Metadefs) -> None:
    """It is made once; who lost the race for it is told to try again, or finds it."""
    names = [f"ns {number}" for number in range(AT_ONCE)]
    for name in names:
        await metadefs.namespaces.create(ADMIN, namespace(name))

    async def associate(name: str) -> None:
        while True:
            try:
                await metadefs.resource_types.associate(ADMIN, name, Association(name="T"))
            except Duplicate:
                continue
            return

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(associate(name))
    assert [each.name for each in await metadefs.resource_types.all()] == ["T"]
    for name in names:
        assert len(await metadefs.resource_types.list(ADMIN, name)) == 1


async def test_lists_of_tags_replace_each_other_whole(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, namespace("ns"))
    lists = [[f"{number}-{each}" for each in range(5)] for number in range(AT_ONCE)]
    found = await outcomes(*(metadefs.tags.create_many(ADMIN, "ns", names, append=False) for names in lists))
    assert found == [None] * AT_ONCE
    assert [each.name for each in await metadefs.tags.list(ADMIN, "ns")] in lists


async def test_what_is_added_to_a_namespace_that_is_deleted_is_gone_or_not_taken(metadefs: Metadefs) -> None:
    await metadefs.namespaces.create(ADMIN, namespace("ns"))
    adding = (metadefs.objects.create(ADMIN, "ns", MetadefObject(name=f"o{number}")) for number in range(AT_ONCE))
    found = await outcomes(*adding, metadefs.namespaces.delete(ADMIN, "ns"))
    assert found[-1] is None
    assert all(isinstance(each, MetadefObject | NotFound) for each in found[:-1]), found
    await metadefs.namespaces.create(ADMIN, namespace("ns"))
    assert await metadefs.objects.list(ADMIN, "ns") == []


async def test_one_namespace_that_many_load_at_once_is_there_once(metadefs: Metadefs) -> None:
    whole = namespace("ns", tags=(MetadefTag(name="t"), MetadefTag(name="u")))
    found = await outcomes(*(metadefs.catalogue.load(whole, Merge.OVERWRITE) for _ in range(AT_ONCE)))
    assert all(each is True or isinstance(each, Duplicate) for each in found), found
    (exported,) = await metadefs.catalogue.export()
    assert [each.name for each in exported.tags] == ["t", "u"]
