"""`glint registry init | check | purge`: what an operator reads, and exit statuses that scripts go by."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app
from upstream.registry import RegistryConfig, open_registry
from upstream.types import Context, Image, Status, Visibility

SHIPPED = Path(__file__).parents[2] / "config.yaml"
HEAD = "2024_1_contract01"
ADMIN = Context(user_id="root", project_id="admin", is_admin=True)

Command = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def command(path: Path) -> Command:
    def run(*arguments: str, settings: tuple[str, ...] = (), exit_code: int = 0) -> Result:
        options = [part for setting in (f"registry.url=sqlite:///{path}", *settings) for part in ("--set", setting)]
        environment = {"GLINT_CONFIG": str(SHIPPED), "COLUMNS": "200"}
        result = CliRunner().invoke(app, ["registry", *arguments, *options], env=environment)
        assert result.exit_code == exit_code, result.output
        return result

    return run


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def documents(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_init_makes_the_tables_once_and_check_finds_them(command: Command, path: Path) -> None:
    assert "registry init" in command("check", exit_code=3).stderr
    assert not path.exists(), "who only looks makes no file"
    assert f"made the tables, at {HEAD}" in command("init").stdout
    assert f"at revision {HEAD}" in command("check").stdout
    assert "nothing to do" in command("init").stdout


def test_an_older_database_is_named_and_upgraded(command: Command, path: Path) -> None:
    command("init")
    change(path, "UPDATE alembic_version SET version_num = 'xena_contract01'", "DROP TABLE cached_images")
    told = command("check", exit_code=3).stderr
    assert "xena_contract01" in told
    assert HEAD in told
    assert "backup" in told
    assert f"upgraded from xena_contract01 to {HEAD}" in command("init").stdout
    assert "cached_images" not in command("check").stdout


def test_what_init_cannot_help_with_is_said_and_left_alone(command: Command, path: Path) -> None:
    command("init")
    change(path, "UPDATE alembic_version SET version_num = 'pike_contract01'")
    for name in ("check", "init"):
        told = command(name, exit_code=1).stderr
        assert "pike_contract01" in told
        assert "glance-manage db sync" in told


def test_a_newer_database_asks_for_a_newer_glint(command: Command, path: Path) -> None:
    command("init")
    change(path, "UPDATE alembic_version SET version_num = '2031_1_contract01'")
    assert "a newer Glint is needed" in command("check", exit_code=1).stderr


def test_what_lacks_under_a_good_stamp_is_named(command: Command, path: Path) -> None:
    command("init")
    change(path, "DROP INDEX owner_image_idx", "DROP TABLE cached_images")
    (document,) = documents(command("check", "--json", exit_code=1))
    assert document["missing"] == ["index owner_image_idx of images", "table cached_images"]
    assert document["current"] is False


def test_documents_tell_programs_what_was_found_and_what_is_wanted(command: Command, path: Path) -> None:
    (document,) = documents(command("check", "--json", exit_code=3))
    assert (document["standing"], document["found"], document["wanted"]) == ("empty", [], HEAD)
    (document,) = documents(command("init", "--json"))
    assert (document["standing"], document["current"]) == ("current", True)
    (document,) = documents(command("check", "--json"))
    assert (document["standing"], document["found"], document["missing"]) == ("current", [HEAD], [])


def test_a_password_is_not_repeated(command: Command) -> None:
    """Nobody listens there."""
    url = "registry.url=postgresql://glance:hidden-word@127.0.0.1:1/glance"
    for name in ("check", "init", "purge"):
        told = command(name, settings=(url, "registry.connect_s=1"), exit_code=1).output
        assert "registry is unavailable" in told
        assert "hidden-word" not in told


@pytest.mark.parametrize("name", ["init", "check", "purge", "purge-images-table"])
def test_a_registry_without_a_database_is_told_so(command: Command, name: str) -> None:
    settings = ("registry.kind=glance", "registry.glance.url=http://127.0.0.1:1")
    assert "registry.kind is glance" in command(name, settings=settings, exit_code=1).stderr


async def fill(path: Path, *, deleted_days_ago: int) -> None:
    """Three images with a tag each, all deleted, and one that is there."""
    moment = datetime.now(UTC)
    async with open_registry(RegistryConfig(url=f"sqlite:///{path}")) as registry:
        for number in range(4):
            image = Image(
                id=str(uuid4()),
                created_at=moment,
                updated_at=moment,
                owner="owner",
                status=Status.QUEUED,
                visibility=Visibility.PRIVATE,
                tags=("t",),
            )
            await registry.images.create(ADMIN, image)
            if number:
                await registry.images.delete(ADMIN, image.id)
    then = (moment - timedelta(days=deleted_days_ago)).strftime("%Y-%m-%d %H:%M:%S.%f")
    tables = ("images", "image_tags")
    await asyncio.to_thread(
        change, path, *(f"UPDATE {table} SET deleted_at = '{then}' WHERE deleted" for table in tables)
    )


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return number


def test_purge_removes_what_is_old_and_then_the_images(command: Command, path: Path) -> None:
    asyncio.run(fill(path, deleted_days_ago=50))
    assert "image_tags: 3 rows would be removed" in command("purge", "--dry-run").stdout
    assert count(path, "image_tags") == 4
    assert "image_tags: 0 rows removed" in command("purge", "--age-in-days", "51").stdout
    assert "image_tags: 2 rows removed" in command("purge", "--max_rows", "2").stdout
    kept = command("purge-images-table", "--age_in_days", "30", exit_code=1)
    assert "images: 2 rows removed" in kept.stdout
    assert "1 image of that age stay" in kept.stderr
    assert {"table": "image_tags", "rows": 1, "dry_run": False} in documents(command("purge", "--json"))
    assert "images: 0 rows removed" in command("purge-images-table").stdout, "not before half a year"
    assert documents(command("purge_images_table", "--age-in-days", "0", "--json")) == [
        {"table": "images", "rows": 1, "dry_run": False, "kept": 0}
    ]
    assert (count(path, "images"), count(path, "image_tags")) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--age-in-days", "-1"), "0 or more"),
        (("--age-in-days", "999999"), "at most"),
        (("--age-in-days", "old"), "valid integer"),
        (("--max-rows", "-2"), "greater than or equal to -1"),
        (("--max-rows", "2147483648"), "less than or equal to 2147483647"),
    ],
)
def test_bad_bounds_of_a_purge_are_refused(command: Command, arguments: tuple[str, ...], expected: str) -> None:
    for name in ("purge", "purge-images-table"):
        assert expected in command(name, *arguments, exit_code=2).output


def test_only_a_current_database_is_purged(command: Command, path: Path) -> None:
    command("init")
    change(path, "UPDATE alembic_version SET version_num = 'yoga_contract01'")
    assert "yoga_contract01" in command("purge", exit_code=1).stderr
