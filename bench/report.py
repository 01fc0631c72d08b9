"""The page and the README's tables, both made of bench/summary.jsonl and of nothing else."""

import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path

from bench import readme
from bench.catalogue import SCENARIOS
from bench.plots import bars
from bench.results import cells, ratio_lines
from bench.session import AnyScenario
from bench.summary import Summary

ROOT = Path(__file__).parents[1]
PAGE = Path("bench") / "report.html"
README = Path("README.md")

_STYLE = """\
body { font: 15px/1.45 sans-serif; color: #222; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { font-weight: 600; } h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; } .wide { overflow-x: auto; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #e4e4e4; }
th.name, td.name { text-align: left; } tr.ours td { background: #eef4ff; }
svg { max-width: 100%; height: auto; display: block; } .note { color: #555; font-size: 13px; }
"""

_NAMED, _OURS = ' class="name"', ' class="ours"'
_INTRODUCTION = """\
<p>Glint, its peers and their clients on one machine, in one run, in turns (A B C A B C). Each figure is the median of
the rounds, the thin lines are the lowest and the highest. Every body or a sample of it is compared by digest. Ratios
travel between machines, absolute numbers do not. <code>make bench</code> makes this page anew.</p>
<p class="note">CPU seconds are those of all of a server's processes; on loopback the kernel does part of the sending in
the clients' time, so both are given together too. Clients that still wait for a first byte when the time is over are
"unanswered" and enter with the time so far: such a figure is a lower bound. Growth of RSS is that of all processes
from before the run to its peak.</p>
"""


def write(summaries: Mapping[str, Summary], root: Path = ROOT) -> list[Path]:
    """Raises ValueError if the README has no place for its tables."""
    page, text = root / PAGE, root / README
    changed = readme.replaced(text.read_text(), summaries)
    page.write_text(render(summaries))
    text.write_text(changed)
    return [page, text]


def digest(summaries: Mapping[str, Summary]) -> str:
    """Of all that a page is made of; stands in the page, so that an old one is known."""
    return hashlib.sha256("".join(one.dump() for one in summaries.values()).encode()).hexdigest()


def render(summaries: Mapping[str, Summary]) -> str:
    sections = [_section(SCENARIOS[name], summaries[name]) for name in SCENARIOS if name in summaries]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta name="made-of" content="{digest(summaries)}">',
            f"<title>Glint measured</title><style>\n{_STYLE}</style></head><body>",
            "<h1>Glint measured</h1>",
            _INTRODUCTION,
            *sections,
            "</body></html>\n",
        ]
    )


def table(scenario: AnyScenario, summary: Summary) -> str:
    headings, *lines = cells(summary.rows, scenario.columns)
    names = [heading in {"case", "server"} for heading in headings]
    found = ["<table>", _line("th", headings, names)]
    for row, line in zip(summary.rows, lines, strict=True):
        found.append(_line("td", line, names, is_ours=row.server in scenario.ours))
    return "\n".join([*found, "</table>"])


def _section(scenario: AnyScenario, summary: Summary) -> str:
    plots = [bars(summary.rows, heading, prefix=f"{scenario.name}{at}") for at, heading in enumerate(scenario.plots)]
    ratios = ratio_lines(summary.rows, scenario.ours, scenario.theirs, scenario.ratios)
    return "\n".join(
        [
            f'<h2 id="{scenario.name}">{html.escape(scenario.title)}</h2>',
            f'<p class="note">Expected before it was measured: {html.escape(scenario.expected)}</p>',
            *plots,
            f'<div class="wide">{table(scenario, summary)}</div>',
            "<ul>",
            *(f"<li>{html.escape(line)}</li>" for line in ratios),
            "</ul>",
            f'<p class="note">{html.escape(_made(summary))}</p>',
        ]
    )


def _made(summary: Summary) -> str:
    machine = summary.machine
    versions = ", ".join(f"{name} {number}" for name, number in summary.versions.items())
    return (
        f"{summary.at}, commit {summary.commit}; {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, Linux {machine['kernel']}, {machine['congestion_control']}, "
        f"Python {machine['python']}; {versions}; load {json.dumps(summary.load)}"
    )


def _line(tag: str, texts: list[str], names: list[bool], *, is_ours: bool = False) -> str:
    parts = [
        f"<{tag}{_NAMED if is_name else ''}>{html.escape(text)}</{tag}>"
        for text, is_name in zip(texts, names, strict=True)
    ]
    return f"<tr{_OURS if is_ours else ''}>{''.join(parts)}</tr>"
