"""config.yaml out of what was mapped, with a comment at each value that says where it comes from. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from proxy.config_import.masking import masked
from proxy.config_import.outcomes import Key, Mapped, Octal

_COLUMN = 56
_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_Tree = dict[str, Any]


def size_text(size_bytes: int) -> str | int:
    """Such as "20 GiB", if it is a whole number of some unit."""
    for unit, unit_bytes in _UNITS:
        if size_bytes and size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes} {unit}"
    return int(size_bytes)


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Octal):
        return f"0{value:o}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=100_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def document(mapped: Iterable[Mapped], sections: Sequence[str], head: Sequence[str], *, with_secrets: bool) -> str:
    """The whole file. `sections` are Glint's own in their order; without secrets they are masked."""
    tree: _Tree = {name: {} for name in sections}
    for one in mapped:
        _put(tree, one.key, one)
    lines = [f"# {line}" if line else "#" for line in head]
    for name, section in tree.items():
        if section:
            lines += ["", *_lines({name: section}, 0, with_secrets=with_secrets)]
    return "\n".join(lines) + "\n"


def _put(tree: _Tree, key: Key, leaf: Mapped) -> None:
    *path, last = key
    for part in path:
        tree = tree.setdefault(part, {})
    tree[last] = leaf


def _lines(tree: Mapping[str, Any], depth: int, *, with_secrets: bool) -> list[str]:
    lines, indent = [], "  " * depth
    for name, inner in tree.items():
        if isinstance(inner, Mapped):
            line = f"{indent}{flow(name)}: {flow(inner.value if with_secrets else shown(inner))}"
            lines.append(f"{line:<{_COLUMN}} # {comment(inner)}")
        else:
            lines.append(f"{indent}{flow(name)}:")
            lines += _lines(inner, depth + 1, with_secrets=with_secrets)
    return lines


def shown(one: Mapped) -> Any:
    """Its value as everybody may see it."""
    return masked(one.value, secret=one.secret) if isinstance(one.value, str) else one.value


def comment(one: Mapped) -> str:
    places = ", ".join(f"{said.where} [{said.section}] {said.name}" for said in one.said)
    return "; ".join(part for part in (places, one.note) if part)
