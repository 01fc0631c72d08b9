"""`glint registry indexes`: what an operator reads, and what `check` says of them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands.test_database import Command, change, command, documents, path
from upstream.registry.sql import OPTIONAL

__all__ = ["command", "path"]

NAMES = [index.name for index in OPTIONAL]


def there(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'glint%'")]


def test_they_are_shown_added_once_and_dropped_once(command: Command, path: Path) -> None:
    command("init")
    assert there(path) == []
    shown = command("indexes", "show").stdout.splitlines()
    assert shown[0] == (
        "glint_image_properties_name_value on image_properties (name, value): not there, would be over 0 rows"
    )
    assert "glint_images_name on images (name): would be added" in command("indexes", "add", "--dry-run").stdout
    assert there(path) == []

    assert command("indexes", "add").stdout.count(": added, in ") == len(NAMES)
    assert sorted(there(path)) == sorted(NAMES)
    assert command("indexes", "add").stdout == "nothing to do\n"
    assert command("indexes", "show").stdout.count(": there, 4.00 KiB for 0 rows") == len(NAMES)

    assert command("indexes", "drop", "--dry-run").stdout.count("would be dropped") == len(NAMES)
    assert command("indexes", "drop").stdout.count(": dropped") == len(NAMES)
    assert command("indexes", "drop").stdout == "nothing to do\n"
    assert there(path) == []


def test_check_and_init_tell_of_them_and_miss_none(command: Command, path: Path) -> None:
    command("init")
    assert "optional" not in command("check").stdout
    command("indexes", "add")
    change(path, "DROP INDEX glint_images_name")
    for name in ("check", "init"):
        assert "with the optional indexes glint_image_properties_name_value, glint_image_tags_value" in (
            command(name).stdout
        )
    (document,) = documents(command("check", "--json"))
    assert document["optional_indexes"] == dict.fromkeys(NAMES[:2], "present")
    assert (document["missing"], document["current"]) == ([], True)


def test_documents_tell_programs_of_each(command: Command) -> None:
    command("init")
    added = documents(command("indexes", "add", "--json"))
    assert [(each["index"], each["outcome"]) for each in added] == [(name, "added") for name in NAMES]
    assert documents(command("indexes", "add", "--json")) == []
    shown = documents(command("indexes", "show", "--json"))
    assert [(each["index"], each["presence"], each["rows"]) for each in shown] == [
        (name, "present", 0) for name in NAMES
    ]
    dropped = documents(command("indexes", "drop", "--dry-run", "--json"))
    assert {each["outcome"] for each in dropped} == {"would be dropped"}


@pytest.mark.parametrize("name", ["show", "add", "drop"])
def test_only_a_current_database_has_them(command: Command, path: Path, name: str) -> None:
    assert "run `glint registry init`" in command("indexes", name, exit_code=1).stderr
    command("init")
    change(path, "UPDATE alembic_version SET version_num = 'yoga_contract01'")
    assert "yoga_contract01" in command("indexes", name, exit_code=1).stderr
    assert there(path) == []
