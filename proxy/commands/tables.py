"""What `glint cache` prints for people."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cache import Proof
from proxy.commands.node import CachedImage, CacheUsage
from proxy.commands.numbers import Numbers
from proxy.commands.text import plural, size_text, span_text

_WITHOUT_NAME_COLUMNS = 74  # what the other columns take
_PINNED_COLUMNS = 8
_PLAIN_COLUMNS = 1000  # in a file or a pipe nothing is cut off
_DIGEST_TEXT = {
    Proof.VERIFIED: "verified",
    Proof.UNVERIFIED: "not compared again since the image was filled; `glint prewarm` does",
    Proof.NONE: "none is registered to compare with",
}


def print_entries(cached: Sequence[CachedImage], queued: Sequence[str], names: Mapping[str, str]) -> None:
    """The most recently used first."""
    console = _console()
    if not cached and not queued:
        console.print("nothing is cached")
        return
    now_s = time.time()
    has_pins = any(entry.pinned for entry in cached)
    taken_columns = _WITHOUT_NAME_COLUMNS + (_PINNED_COLUMNS if has_pins else 0)
    table, name_max = _table(), max(8, console.width - taken_columns)
    if has_pins:
        table.add_column("PINNED")
    for entry in cached:
        table.add_row(
            entry.id,
            _shortened(names.get(entry.id, "-"), name_max),
            size_text(entry.size_bytes),
            str(entry.hits),
            f"{span_text(now_s - entry.used_at_s)} ago",
            span_text(now_s - entry.created_at_s),
            *(["yes" if entry.pinned else ""] if has_pins else []),
        )
    for image_id in queued:
        table.add_row(image_id, _shortened(names.get(image_id, "-"), name_max), "queued", "", "", "")
    console.print(table)
    total = sum(entry.size_bytes for entry in cached)
    waiting = f", {len(queued)} queued" if queued else ""
    console.print(f"{plural(len(cached), 'image')}, {size_text(total)}{waiting}")


def _shortened(name: str, chars_max: int) -> str:
    """On a narrow terminal names are cut, and nothing else."""
    return escape(name if len(name) <= chars_max else f"{name[: chars_max - 1]}…")


def print_one(document: Mapping[str, Any]) -> None:
    """One image, a line for each thing that is known."""
    now_s = time.time()
    present, size = document.get("present_bytes"), document.get("size_bytes")
    bytes_text = size_text(size) if present == size else f"{size_text(present)} of {size_text(size)}"
    used, created = document["used_at_s"], document["created_at_s"]
    lines = {
        "id": document["id"],
        "name": document["name"],
        "state": document["state"],
        "on disk": bytes_text if present else None,
        "digest": _DIGEST_TEXT[document["digest"]] if document["state"] == "cached" and "digest" in document else None,
        "hits": document["hits"],
        "last used": f"{span_text(now_s - used)} ago" if used else None,
        "age": span_text(now_s - created) if created else None,
        "pinned": "yes" if document["pinned"] else None,
        "failed": document.get("error"),
    }
    _print_lines({name: value for name, value in lines.items() if value is not None})


def print_stats(usage: CacheUsage, numbers: Numbers | None) -> None:
    share = usage.committed_bytes / usage.limit_bytes if usage.limit_bytes else 0
    lines: dict[str, object] = {
        "entries": usage.entries,
        "used": f"{size_text(usage.committed_bytes)} ({share:.0%})",
        "reserved": size_text(usage.reserved_bytes),
        "leaving": f"{size_text(usage.leaving_bytes)}, evicted and still read" if usage.leaving_bytes else None,
        "quarantine": f"{size_text(usage.quarantined_bytes)}, damaged" if usage.quarantined_bytes else None,
        "free": size_text(usage.free_bytes),
        "limit": size_text(usage.limit_bytes),
    }
    if numbers is not None:
        ratio = "" if numbers.hit_ratio is None else f" (hit ratio {numbers.hit_ratio:.0%})"
        lines |= {
            "fills running": numbers.fills_in_flight,
            "downloads": f"{numbers.hits} hit, {numbers.joins} join, {numbers.misses} miss, "
            f"{numbers.bypasses} bypass{ratio}",
            "evictions": numbers.evictions,
        }
    _print_lines({name: value for name, value in lines.items() if value is not None})


def _print_lines(lines: Mapping[str, object]) -> None:
    width = max(len(name) for name in lines)
    for name, value in lines.items():
        typer.echo(f"{name:<{width}}  {value}")


def _table() -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("ID", "NAME", "SIZE", "HITS", "LAST USED", "AGE"):
        table.add_column(column, no_wrap=True, justify="right" if column in {"SIZE", "HITS"} else "left")
    return table


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_COLUMNS)
