"""Packages have faces: `__init__.py` holds imports and a list of them, and nobody inside asks the own face."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [file for folder in ("proxy", "cache", "upstream", "metrics") for file in sorted((ROOT / folder).rglob("*.py"))]
TREES = {file: ast.parse(file.read_text()) for file in FILES}
PURE = re.compile(r"\bPure\.$", re.MULTILINE)
FACES = [file for file in FILES if file.name == "__init__.py" and TREES[file].body]


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Module and names of each `from … import …`, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or "", [alias.name for alias in node.names]


def given_by(statement: ast.stmt) -> set[str]:
    """The constants that a face gives besides: tables of what it imports, say."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets += [statement.target] if isinstance(statement, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


@pytest.mark.parametrize("file", FACES, ids=module_of)
def test_a_face_lists_what_it_imports_and_does_nothing(file: Path) -> None:
    tree, package = TREES[file], module_of(file)
    given = {name for module, names in imported(tree) for name in names if f"{module}.".startswith(f"{package}.")}
    used: set[str] = set()
    told: list[str] = []
    for statement in tree.body:
        match statement:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                continue
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                told = ast.literal_eval(statement.value)
            case _:
                constants = given_by(statement)
                assert constants
                assert all(name.isupper() for name in constants)
                given |= constants
                used |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - constants
    assert set(told) <= given
    assert given - set(told) <= used


@pytest.mark.parametrize(
    "file", [file for file in FILES if PURE.search(ast.get_docstring(TREES[file]) or "")], ids=module_of
)
def test_who_says_that_he_is_pure_knows_no_loop_no_sockets_and_no_server(file: Path) -> None:
    """What SQL is made of may be pure, and so are the names of headers."""
    asked = {module for module, names in imported(TREES[file]) if names != ["hdrs"]}
    asked |= {alias.name for node in ast.walk(TREES[file]) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.partition(".")[0] for name in asked}.isdisjoint(
        {"asyncio", "aiohttp", "socket", "threading", "subprocess"}
    )


def test_nobody_asks_the_face_of_a_package_that_he_is_in() -> None:
    """It would be a circle: the face is not there before he is."""
    modules, faces = {module_of(file) for file in FILES}, {module_of(file) for file in FACES}
    circles = [
        f"{module_of(file)} asks {package} for {name}"
        for file, tree in TREES.items()
        for package, names in imported(tree)
        if package in faces and module_of(file).startswith(f"{package}.")
        for name in names
        if f"{package}.{name}" not in modules
    ]
    assert circles == []
