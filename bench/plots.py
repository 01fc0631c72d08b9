"""Plots of rows of medians, as SVG that stands in a page by itself: no script, no fonts, nothing fetched."""

import re
from collections.abc import Sequence
from io import StringIO

from bench.places import FLOOR, GLANCE, NGINX, NGINX_CACHE, STORE, VARNISH
from bench.results import Row

# Glint in blues, each peer in its own colour wherever it stands.
_COLOURS = {
    FLOOR: "#bbbbbb",
    STORE: "#bbbbbb",
    NGINX: "#2e8b57",
    NGINX_CACHE: "#9acd32",
    VARNISH: "#e6a817",
    GLANCE: "#c0392b",
}
_OURS = ("#1f4e9c", "#4a86e8", "#8fb8f5", "#c3dafa")
_LOG_FROM = 30.0  # the largest bar over the smallest


def bars(rows: Sequence[Row], heading: str, *, prefix: str) -> str:
    """A group of bars for each case and number of clients, a bar for each server, with lowest and highest round.

    Empty if no row has the figure. `prefix` makes the ids of several plots differ.
    """
    shown = [row for row in rows if heading in row.values]
    if not shown:
        return ""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second, which who draws nothing does without
    from matplotlib.figure import Figure  # noqa: PLC0415

    groups = list(dict.fromkeys((row.case, row.clients) for row in shown))
    servers = list(dict.fromkeys(row.server for row in shown))
    ours = [server for server in servers if server not in _COLOURS]
    colours = _COLOURS | {server: _OURS[number % len(_OURS)] for number, server in enumerate(ours)}
    # Text stays text, and the same numbers give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "glint", "font.size": 9, "axes.spines.top": False}):
        figure = Figure(figsize=(8, 2.9), layout="constrained")
        axes = figure.add_subplot()
        width = 0.84 / len(servers)
        for number, server in enumerate(servers):
            mine = [row for row in shown if row.server == server]
            places = [groups.index((row.case, row.clients)) + (number - (len(servers) - 1) / 2) * width for row in mine]
            middles = [row.values[heading][0] for row in mine]
            below = [max(0.0, row.values[heading][0] - row.values[heading][1]) for row in mine]
            above = [max(0.0, row.values[heading][2] - row.values[heading][0]) for row in mine]
            axes.bar(places, middles, width, label=server, color=colours[server])
            axes.errorbar(places, middles, [below, above], fmt="none", ecolor="#333333", elinewidth=0.7)
        values = [row.values[heading][0] for row in shown if row.values[heading][0] > 0]
        is_log = bool(values) and max(values) / min(values) > _LOG_FROM
        if is_log:
            axes.set_yscale("log")
            axes.set_ylim(bottom=min(values) / 2)  # a bar for the smallest too
        axes.set_xticks(range(len(groups)), [_name(case, clients) for case, clients in groups])
        axes.set_title(f"{heading} (logarithmic)" if is_log else heading, loc="left")
        figure.legend(loc="outside lower center", ncols=min(5, len(servers)), frameon=False)
        file = StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(file.getvalue(), prefix)


def _name(case: str, clients: int) -> str:
    told = f"{clients:,} client{'s' if clients != 1 else ''}"
    return f"{case}\n{told}" if case else told


def _inline(svg: str, prefix: str) -> str:
    """Without the head of a file, and with ids that are its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+\n", "\n", svg).strip()
