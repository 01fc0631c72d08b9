"""Whatever writes is run again when the database undid it for another's sake: no method is left out, none twice."""

import ast
from pathlib import Path

import upstream.registry.sql

SOURCES = sorted(Path(upstream.registry.sql.__path__[0]).rglob("*.py"))


def writers() -> list[tuple[str, ast.AsyncFunctionDef]]:
    """Methods that begin a transaction of their object's database."""
    return [
        (f"{source.stem}.{node.name}.{method.name}", method)
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.AsyncFunctionDef) and "self._database.write(" in ast.unparse(method)
    ]


def test_every_transaction_that_writes_is_repeated_once() -> None:
    found = {
        name: [ast.unparse(each) for each in method.decorator_list].count("repeated") for name, method in writers()
    }
    assert len(found) > 20
    assert {name: times for name, times in found.items() if times != 1} == {}
