"""Tables and stamps are those of Glance's own migrations, wherever a database begins, and each service agrees."""

import ast
import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.contract.registry.places import Place, ask, rows, schema, tell
from tests.peers import ensure_environment
from tests.peers.glance_manage import GlanceManage
from upstream.registry import RegistryConfig, RegistryMisconfigured
from upstream.registry.sql import CONTRACT_HEAD, Database, Standing, State, missing, open_registry, state_of
from upstream.registry.sql.migrations import initialise
from upstream.registry.sql.migrations.upgrades import scripts
from upstream.registry.sql.revisions import KNOWN

UP_TO_DATE = "Database is up to date."
CONTRACTS = [script.revision for script in scripts().walk_revisions() if "_contract" in script.revision][::-1]


async def init(url: str) -> State:
    async with Database.open(RegistryConfig(url=url)) as database:
        return await initialise(database)


async def standing(url: str) -> Standing:
    async with Database.open(RegistryConfig(url=url)) as database:
        return (await state_of(database)).standing


async def lacks(url: str) -> list[str]:
    async with Database.open(RegistryConfig(url=url)) as database:
        return await missing(database)


def filled(url: str) -> tuple[str, ...]:
    """Rows as a Glance of Queens leaves them; the store of a location is called its backend."""
    moment, no = "'2020-01-01 00:00:00'", "0" if url.startswith("sqlite") else "false"
    columns = "id, name, status, created_at, deleted, min_disk, min_ram, protected, visibility"
    image = f"'i', 'old', 'active', {moment}, {no}, 1, 2, {no}, 'shared'"
    location = f"""'i', 'file:///i', {moment}, {no}, '{{"backend": "fast", "x": "backend"}}', 'active'"""
    task = f"'t', 'import', 'success', 'owner', {moment}, {no}"
    return (
        f"INSERT INTO images ({columns}) VALUES ({image})",
        f"INSERT INTO image_locations (image_id, value, created_at, deleted, meta_data, status) VALUES ({location})",
        f"INSERT INTO tasks (id, type, status, owner, created_at, deleted) VALUES ({task})",
    )


async def test_glint_makes_what_glance_makes(place: Place, glance_manage: GlanceManage) -> None:
    """And an older one that is upgraded becomes the same; each service takes the other's for its own."""
    glances, ours, older = place(), place(), place()
    await asyncio.to_thread(glance_manage.done, glances, "sync")
    wanted = await ask(glances, schema)
    assert wanted["stamps"] == [CONTRACT_HEAD]
    assert len(wanted) == 18

    assert (await init(ours)).standing is Standing.EMPTY
    assert await ask(ours, schema) == wanted

    await asyncio.to_thread(glance_manage.done, older, "upgrade", "--version", "queens_contract01")
    await tell(older, *filled(older))
    assert (await init(older)).stamps == {"queens_contract01"}
    assert await ask(older, schema) == wanted
    content = await ask(older, rows)
    assert content["images"][0][:2] == ("i", "old")
    assert {"store": "fast", "x": "backend"} in content["image_locations"][0]
    assert content["tasks"][0][0] == "t"

    for url in (glances, ours, older):
        assert (await standing(url), await lacks(url)) == (Standing.CURRENT, [])
        assert (await init(url)).standing is Standing.CURRENT
    for url in (ours, older):
        assert UP_TO_DATE in await asyncio.to_thread(glance_manage.done, url, "sync")
        if not url.startswith("postgresql"):  # there Glance refuses the question
            assert UP_TO_DATE in await asyncio.to_thread(glance_manage.done, url, "check")


async def stop_everywhere(place: Place, manage: GlanceManage, contracts: Sequence[str]) -> None:
    """Let a Glance stop before each of these contractions and after it, and have a Glint bring that to the end."""
    fresh = place()
    await init(fresh)
    wanted = await ask(fresh, schema)
    for name in contracts:
        before = CONTRACTS[CONTRACTS.index(name) - 1]
        for steps in ((before, name.replace("_contract", "_expand")), (name,)):
            url = place()
            for revision in steps:
                await asyncio.to_thread(manage.done, url, "upgrade", "--version", revision)
            found = await init(url)
            assert found.stamps == set(steps)
            assert await ask(url, schema) == wanted, steps


async def test_a_database_between_any_two_steps_of_the_last_releases_is_brought_to_the_end(
    tmp_path: Path, glance_manage: GlanceManage
) -> None:
    """With 2024.1 the last tables came: expanded only, a Glance of 2023.1 still runs on it."""
    numbers = iter(range(100))
    await stop_everywhere(lambda: f"sqlite:///{tmp_path}/{next(numbers)}.db", glance_manage, [CONTRACT_HEAD])


@pytest.mark.long
async def test_a_database_between_any_two_steps_since_queens_is_brought_to_the_end(
    place: Place, glance_manage: GlanceManage
) -> None:
    await stop_everywhere(place, glance_manage, CONTRACTS[1:])


def test_the_revisions_follow_each_other_as_glances_do() -> None:
    folder = next((ensure_environment("glance") / "lib").glob("python3*"))
    glances = {
        facts["revision"]: facts
        for path in (folder / "site-packages/glance/db/sqlalchemy/alembic_migrations/versions").glob("*.py")
        if (facts := assigned(path)) and facts["revision"] in KNOWN
    }
    ours = {script.revision: assigned(Path(script.path)) for script in scripts().walk_revisions()}
    assert ours.keys() == glances.keys() == KNOWN
    for revision, facts in ours.items():
        is_root = revision.startswith("queens")
        assert facts["down_revision"] == (None if is_root else glances[revision]["down_revision"])
        assert facts["depends_on"] == glances[revision]["depends_on"]


def assigned(path: Path) -> dict[str, Any]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = ("revision", "down_revision", "depends_on")
    return {
        each.targets[0].id: each.value.value
        for each in tree.body
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name) and each.targets[0].id in names
        if isinstance(each.value, ast.Constant)
    }


@pytest.mark.parametrize("version", ["mitaka02", "pike_contract01", "2024_1_expand01"])
async def test_what_cannot_be_upgraded_is_refused_and_left_as_it_is(
    tmp_path: Path, glance_manage: GlanceManage, version: str
) -> None:
    """Before Queens; and what was expanded only, whose contractions since Mitaka are all to come."""
    url = f"sqlite:///{tmp_path}/old.db"
    await asyncio.to_thread(glance_manage.done, url, "upgrade", "--version", version)
    before = dump(tmp_path / "old.db")
    for use in (init, _serve):
        with pytest.raises(RegistryMisconfigured, match="glance-manage db sync") as refused:
            await use(url)
        assert version in str(refused.value)
        assert CONTRACT_HEAD in str(refused.value)
    assert dump(tmp_path / "old.db") == before


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


async def _serve(url: str) -> None:
    async with open_registry(RegistryConfig(url=url)):
        pass


async def test_serving_upgrades_nothing_and_says_who_does(tmp_path: Path, glance_manage: GlanceManage) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    await asyncio.to_thread(glance_manage.done, url, "upgrade", "--version", "zed_contract01")
    with pytest.raises(RegistryMisconfigured, match=r"at revision zed_contract01, .* `glint registry init`"):
        await _serve(url)
    await init(url)
    await _serve(url)


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
async def test_an_upgrade_that_was_killed_half_way_goes_on(place: Place) -> None:
    """MariaDB keeps each step, and the stamp comes after the last one of its revision."""
    url = place()
    await init(url)
    wanted = await ask(url, schema)
    for statement in (
        "DELETE FROM alembic_version",
        "INSERT INTO alembic_version VALUES ('ussuri_contract01')",
        "DROP INDEX ix_tasks_image_id ON tasks",
        "ALTER TABLE tasks DROP COLUMN request_id, DROP COLUMN user_id",
        "DROP TABLE cached_images",
    ):
        await tell(url, statement)
    await init(url)
    assert await ask(url, schema) == wanted


@pytest.mark.parametrize(("place", "use"), [("sqlite", init), ("mariadb", _serve)], indirect=["place"])
async def test_tables_that_somebody_was_killed_over_are_made_anew(place: Place, use: Any) -> None:
    """None of them holds anything, and no stamp says that they are whole."""
    url = place()
    await init(url)
    wanted = await ask(url, schema)
    is_mariadb = url.startswith("mysql")
    for statement in (
        "DELETE FROM alembic_version",
        "DROP TABLE task_info",
        "DROP INDEX ix_tasks_owner" + (" ON tasks" if is_mariadb else ""),
    ):
        await tell(url, statement)
    assert await standing(url) is Standing.UNFINISHED
    await use(url)
    assert await ask(url, schema) == wanted


async def test_what_holds_rows_and_has_no_stamp_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/r.db"
    await init(url)
    await tell(url, "DELETE FROM alembic_version", *filled(url)[:1])
    for use in (init, _serve):
        with pytest.raises(RegistryMisconfigured, match="no alembic_version"):
            await use(url)
    assert (await ask(url, rows))["images"]


FOREIGN: Mapping[str, tuple[str, ...]] = {
    "tables of others": ("CREATE TABLE users (id INTEGER)",),
    "stamps of others": (
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('29e87d24a316')",
    ),
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=list(FOREIGN))
async def test_a_database_of_another_program_is_left_alone(tmp_path: Path, statements: tuple[str, ...]) -> None:
    url = f"sqlite:///{tmp_path}/r.db"
    await tell(url, *statements)
    before = dump(tmp_path / "r.db")
    for use in (init, _serve):
        with pytest.raises(RegistryMisconfigured, match="belongs to another program"):
            await use(url)
    assert dump(tmp_path / "r.db") == before


@pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)
async def test_many_who_upgrade_at_once_upgrade_once(place: Place, glance_manage: GlanceManage) -> None:
    url = place()
    await asyncio.to_thread(glance_manage.done, url, "upgrade", "--version", "train_contract01")
    found = await asyncio.gather(*(init(url) for _ in range(3)))
    assert sorted(each.standing for each in found) == [Standing.CURRENT, Standing.CURRENT, Standing.OLDER]
    assert await standing(url) is Standing.CURRENT


@pytest.mark.parametrize(
    ("statement", "lacking"),
    [
        ("DROP TABLE cached_images", "table cached_images"),
        ("ALTER TABLE tasks DROP COLUMN request_id", "column tasks.request_id"),
        ("DROP INDEX owner_image_idx", "index owner_image_idx of images"),
    ],
)
async def test_what_somebody_removed_under_a_stamp_is_named(tmp_path: Path, statement: str, lacking: str) -> None:
    url = f"sqlite:///{tmp_path}/r.db"
    await init(url)
    await tell(url, statement)
    assert await lacks(url) == [lacking]
