"""`glint registry metadefs`: Glance's own catalogue in and out, and databases that both have written."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app
from tests.peers.environments import ensure_environment
from tests.peers.glance_manage import GlanceManage

SHIPPED = Path(__file__).parents[2] / "config.yaml"


class Metadefs:
    """The command on one SQLite database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = f"sqlite:///{folder}/registry.db"

    def run(self, *arguments: str | Path) -> Result:
        options = ["registry", "metadefs", *map(str, arguments), "--set", f"registry.url={self.database}"]
        return CliRunner().invoke(app, options, env={"GLINT_CONFIG": str(SHIPPED), "COLUMNS": "200"})

    def load(self, *arguments: str | Path) -> Result:
        result = self.run("load", *arguments)
        assert result.exit_code == 0, result.output
        return result

    def exported(self) -> dict[str, Any]:
        """Documents by namespace."""
        folder = self.folder / "exported"
        result = self.run("export", folder)
        assert result.exit_code == 0, result.output
        return documents(folder)

    def write(self, name: str = "one.json", **document: Any) -> Path:
        path = self.folder / name
        path.write_text(json.dumps({"namespace": "One", **document}))
        return path


@pytest.fixture
def metadefs(tmp_path: Path) -> Metadefs:
    return Metadefs(tmp_path)


@pytest.fixture(scope="session")
def catalogue() -> Path:
    """The files that Glance ships."""
    return ensure_environment("glance") / "etc" / "glance" / "metadefs"


def documents(folder: Path) -> dict[str, Any]:
    found = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    return {document["namespace"]: whole(document) for document in found}


def whole(document: Mapping[str, Any]) -> dict[str, Any]:
    """With the defaults of what is left out, and in one order."""
    objects = [{"description": None, "properties": {}, **each} for each in document.get("objects", ())]
    associations = document.get("resource_type_associations", ())
    return {
        "display_name": None,
        "description": None,
        "visibility": "private",
        "properties": {},
        "tags": [],
        **document,
        "objects": objects,
        "resource_type_associations": sorted(associations, key=lambda each: str(each["name"])),
    }


def test_all_that_glance_ships_goes_in_and_comes_out_as_it_was(
    metadefs: Metadefs, catalogue: Path, tmp_path: Path
) -> None:
    result = metadefs.load(catalogue)
    shipped = documents(catalogue)
    assert len(result.stdout.splitlines()) == len(shipped) > 30
    exported = metadefs.exported()
    assert exported == shipped
    (tmp_path / "again").mkdir()
    again = Metadefs(tmp_path / "again")
    again.load(metadefs.folder / "exported")
    assert again.exported() == exported


def test_what_glance_manage_loads_into_our_database_we_export(
    metadefs: Metadefs, catalogue: Path, glance_manage: GlanceManage
) -> None:
    assert metadefs.exported() == {}  # and the database is made
    glance_manage.done(metadefs.database, "load_metadefs", "--path", str(catalogue))
    assert metadefs.exported() == documents(catalogue)


def test_what_we_export_glance_manage_loads(
    metadefs: Metadefs, catalogue: Path, tmp_path: Path, glance_manage: GlanceManage
) -> None:
    metadefs.load(catalogue)
    exported = metadefs.exported()
    (tmp_path / "other").mkdir()
    other = Metadefs(tmp_path / "other")
    other.exported()
    glance_manage.done(other.database, "load_metadefs", "--path", str(metadefs.folder / "exported"))
    assert other.exported() == exported


def test_glance_manage_unloads_what_we_loaded_and_we_what_it_loaded(
    metadefs: Metadefs, catalogue: Path, glance_manage: GlanceManage
) -> None:
    metadefs.load(catalogue)
    glance_manage.done(metadefs.database, "unload_metadefs")
    assert metadefs.exported() == {}
    glance_manage.done(metadefs.database, "load_metadefs", "--path", str(catalogue / "compute-vtpm.json"))
    result = metadefs.run("unload")
    assert (result.exit_code, result.output) == (0, "")
    assert metadefs.run("export", metadefs.folder / "empty").output == ""


PROPERTY = {"title": "P", "type": "string"}
OLD: dict[str, Any] = {
    "description": "old",
    "properties": {"p": PROPERTY, "q": PROPERTY},
    "objects": [{"name": "o", "description": "old"}],
    "tags": [{"name": "t"}],
    "resource_type_associations": [{"name": "OS::Nova::Server", "prefix": "old:"}],
}
NEW: dict[str, Any] = {
    "description": "new",
    "owner": "somebody",
    "properties": {"p": {**PROPERTY, "title": "New"}, "r": PROPERTY},
    "objects": [{"name": "o", "description": "new"}, {"name": "n", "required": ["x"]}],
    "tags": [{"name": "t"}, {"name": "u"}],
    "resource_type_associations": [{"name": "OS::Nova::Server", "prefix": "new:"}, {"name": "OS::Glance::Image"}],
}
ADDED: dict[str, Any] = {
    "description": "old",
    "properties": {"p": PROPERTY, "q": PROPERTY, "r": PROPERTY},
    "objects": [{"name": "o", "description": "old"}, {"name": "n", "required": ["x"]}],
    "tags": [{"name": "t"}, {"name": "u"}],
    "resource_type_associations": [{"name": "OS::Nova::Server", "prefix": "old:"}, {"name": "OS::Glance::Image"}],
}
CHANGED = NEW | {"properties": {"p": {**PROPERTY, "title": "New"}, "q": PROPERTY, "r": PROPERTY}}


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ((), OLD),
        (("--merge",), ADDED),
        (("--merge", "--prefer-new"), CHANGED),
        (("--merge", "--prefer_new"), CHANGED),
        (("--merge", "--overwrite"), NEW),
    ],
)
def test_a_namespace_that_is_there_is_left_added_to_changed_or_replaced(
    metadefs: Metadefs, options: tuple[str, ...], left: Mapping[str, Any]
) -> None:
    metadefs.load(metadefs.write(**OLD))
    metadefs.load(metadefs.write(**NEW), *options)
    assert metadefs.exported() == {"One": whole({"namespace": "One", "protected": False, **left})}


@pytest.fixture(scope="module")
def old_of_glance(tmp_path_factory: pytest.TempPathFactory, glance_manage: GlanceManage) -> Path:
    """The database into which Glance has loaded OLD."""
    glance = Metadefs(tmp_path_factory.mktemp("glance"))
    glance.exported()
    glance_manage.done(
        glance.database, "load_metadefs", "--path", str(glance.write(**OLD, protected=False, visibility="public"))
    )
    return glance.folder / "registry.db"


@pytest.mark.parametrize("options", [(), ("--merge",), ("--merge", "--prefer_new"), ("--merge", "--overwrite")])
def test_glance_manage_merges_by_the_same_rules(
    metadefs: Metadefs,
    tmp_path: Path,
    old_of_glance: Path,
    glance_manage: GlanceManage,
    options: tuple[str, ...],
) -> None:
    """But for an object's required properties, which Glance's files do not have."""
    (tmp_path / "glance").mkdir()
    glance = Metadefs(tmp_path / "glance")
    shutil.copy(old_of_glance, glance.folder / "registry.db")
    metadefs.load(metadefs.write(**OLD, protected=False, visibility="public"))
    objects = [{"name": "o", "description": "new"}, {"name": "n"}]
    new = metadefs.write(**{**NEW, "objects": objects}, protected=True, visibility="private")
    metadefs.load(new, *options)
    glance_manage.done(glance.database, "load_metadefs", "--path", str(new), *options)
    assert glance.exported() == metadefs.exported()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "line 1: is no JSON"),
        ("[]", "expected a JSON object"),
        ("[" * 100_000, "is no JSON that can be read"),
        ("{}", "namespace: 'namespace' is a required property"),
        ('{"namespace": "n", "colour": 1}', "'colour' was unexpected"),
        ('{"namespace": "n", "visibility": "shared"}', "namespace.visibility: 'shared' is not one of"),
        ('{"namespace": "n", "properties": {"p": {"title": "t"}}}', "namespace.properties.p: 'type' is a required"),
        ('{"namespace": "n", "objects": [{"description": "d"}]}', "namespace.objects.0: 'name' is a required property"),
        ('{"namespace": "n", "tags": [{"name": "t"}, {"name": "t"}]}', "namespace.tags: 't' comes twice"),
        ('{"namespace": "n", "tags": ["t"]}', "namespace.tags.0: 't' is not of type 'object'"),
        (json.dumps({"namespace": "n", "tags": [{"name": "t" * 81}]}), "the tag's name has 81 characters"),
    ],
)
def test_a_bad_file_is_named_with_its_key_and_changes_nothing(metadefs: Metadefs, text: str, told: str) -> None:
    (metadefs.folder / "in").mkdir()
    good = metadefs.write("in/good.json", tags=[{"name": "t"}])
    bad = metadefs.folder / "in" / "bad.json"
    bad.write_text(text)
    result = metadefs.run("load", metadefs.folder / "in")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"glint: {bad}: ")
    assert told in result.stderr
    assert result.stdout == f"{good.name}: loaded One\n"
    assert list(metadefs.exported()) == ["One"]


def test_a_file_that_is_no_text_is_bad(metadefs: Metadefs) -> None:
    bad = metadefs.folder / "bad.json"
    bad.write_bytes(b"\xff")
    result = metadefs.run("load", bad)
    assert (result.exit_code, result.stderr) == (1, f"glint: {bad}: is not UTF-8\n")


def test_nothing_to_load_is_told(metadefs: Metadefs) -> None:
    none = metadefs.run("load", metadefs.folder)
    assert (none.exit_code, none.stderr) == (1, f"glint: {metadefs.folder}: there are no files *.json\n")
    missing = metadefs.run("load", metadefs.folder / "missing")
    assert missing.exit_code == 1
    assert "No such file or directory" in missing.stderr


def test_an_export_that_cannot_be_written_is_told(metadefs: Metadefs) -> None:
    metadefs.load(metadefs.write())
    result = metadefs.run("export", metadefs.folder / "one.json")
    assert result.exit_code == 1
    assert "one.json: File exists" in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--prefer-new",), "need --merge"),
        (("--overwrite",), "need --merge"),
        (("--merge", "--prefer-new", "--overwrite"), "exclude each other"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    metadefs: Metadefs, options: tuple[str, ...], told: str
) -> None:
    result = metadefs.run("load", metadefs.folder, *options)
    assert result.exit_code == 2
    assert told in result.stderr


def test_namespaces_of_one_display_name_get_files_of_their_own(metadefs: Metadefs) -> None:
    for name in ("A::One", "a::one", "B::Two", "::"):
        metadefs.load(metadefs.write(namespace=name, display_name="Both of us!" if name != "::" else None))
    exported = metadefs.exported()
    assert set(exported) == {"A::One", "a::one", "B::Two", "::"}
    names = sorted(path.name for path in (metadefs.folder / "exported").iterdir())
    assert names == ["BTwo.json", "Bothofus.json", "aone.json", "namespace.json"]


def test_a_registry_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["registry", "metadefs", "export", str(tmp_path), "--set", "registry.kind=remote"],
        env={"GLINT_CONFIG": str(SHIPPED)},
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("glint: registry.remote.url: kind remote needs it")
