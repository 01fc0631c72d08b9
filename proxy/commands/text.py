"""Numbers as people read them, and documents as programs do."""

import json
from collections.abc import Mapping
from typing import Any

import typer

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size_text(size_bytes: float | None) -> str:
    """Three digits and a unit: 987 B, 64.0 KiB, 1.25 GiB."""
    if size_bytes is None:
        return "unknown size"
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    value, unit = size_bytes / 1024, 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


def span_text(seconds: float) -> str:
    """A span of time in its largest unit: 5 s, 12 min, 3 h, 40 d."""
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def print_json(document: Mapping[str, Any]) -> None:
    """On a line of its own."""
    typer.echo(json.dumps(document))
