"""`glint cache simulate`: what a cache of another size, or with another policy, would have made of past downloads."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from cache import POLICIES, Replayed, replay
from proxy.commands.access_log import read_downloads
from proxy.commands.text import print_json, size_text, span_text
from proxy.config import Config

_AGE_MIN_S = 86400.0
_COLUMNS = ("POLICY", "SIZE", "REQUESTS", "HITS", "BYTE HITS", "FROM STORES", "EVICTIONS", "EVICTION AGE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Every policy is tried with every size."""

    logs: Sequence[Path]
    sizes_bytes: Sequence[int] = ()
    policies: Sequence[str] = ()
    as_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    policy: str
    size_max_bytes: int
    replayed: Replayed

    @property
    def is_too_small(self) -> bool:
        age_s = self.replayed.eviction_age_s
        return age_s is not None and age_s < _AGE_MIN_S


def run(config: Config, options: Options) -> None:
    """Raises CommandFailed. `config` says what the options leave open."""
    downloads = read_downloads(options.logs)
    rows = [
        _Row(
            policy=policy,
            size_max_bytes=size_bytes,
            replayed=replay(
                downloads,
                POLICIES[policy],
                size_max_bytes=size_bytes,
                min_age_s=config.cache.min_age_s,
                range_fill_percent=config.cache.range_fill_percent,
            ),
        )
        for size_bytes in options.sizes_bytes or (config.cache.size_max,)
        for policy in options.policies or POLICIES
    ]
    if options.as_json:
        for row in rows:
            print_json(_document(row))
    else:
        _print_table(rows)
    for row in rows:
        if row.is_too_small:
            _warn(row)


def _document(row: _Row) -> dict[str, object]:
    ratios = {"hit_ratio": round(row.replayed.hit_ratio, 6), "byte_hit_ratio": round(row.replayed.byte_hit_ratio, 6)}
    return {"policy": row.policy, "size_max_bytes": row.size_max_bytes} | asdict(row.replayed) | ratios


def _print_table(rows: Sequence[_Row]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, no_wrap=True, justify="left" if column == "POLICY" else "right")
    for row in rows:
        one = row.replayed
        table.add_row(
            row.policy,
            size_text(row.size_max_bytes),
            str(one.requests),
            f"{one.hit_ratio:.1%}",
            f"{one.byte_hit_ratio:.1%}",
            size_text(one.store_bytes),
            str(one.evictions),
            "-" if one.eviction_age_s is None else span_text(one.eviction_age_s),
        )
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=200)).print(table)


def _warn(row: _Row) -> None:
    age_s = row.replayed.eviction_age_s
    assert age_s is not None
    typer.echo(
        f"glint: {size_text(row.size_max_bytes)} is small for these downloads: with {row.policy}, half of the evicted"
        f" images had been used in the last {span_text(age_s)}; below a day more space helps more than any policy",
        err=True,
    )
