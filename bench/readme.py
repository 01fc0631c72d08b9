"""The README's tables of speed: chosen figures of the summary, between two marks."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.places import GLANCE, GLINT, GLINT_SYSTEM, NGINX, NGINX_CACHE, NGINX_CUBIC, STORE, VARNISH, glint_name
from bench.results import Row, ratio, shown
from bench.summary import Summary

BEGIN = "<!-- made by `python -m bench report`: begin -->"
END = "<!-- made by `python -m bench report`: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure of a scenario for all servers, at its largest number of clients."""

    label: str  # {clients} and {case} are filled in
    scenario: str
    heading: str
    form: str
    glint: str = GLINT
    case: str = ""  # how it begins; the last that does
    relative_to: str = ""  # the figure over that of this server


_COLUMNS = {"Glint": GLINT, "nginx": NGINX, "nginx `proxy_cache`": NGINX_CACHE, "Varnish": VARNISH, "Glance": GLANCE}
_HOT = {
    NGINX: "nginx",
    NGINX_CUBIC: "nginx, given cubic",
    VARNISH: "Varnish",
    GLINT: "Glint",
    GLINT_SYSTEM: "Glint with `server.tcp_congestion_control: null`",
    glint_name(2): "Glint, 2 workers",
}
_LINES = (
    Line(
        label="{clients} clients, hot image: first byte p50, ms",
        scenario="hot",
        heading="first byte p50 ms",
        form=".0f",
    ),
    Line(
        label="{clients} clients ask at once for a cold image ({case}): reads of the store",
        scenario="storm",
        heading="store reads",
        form=".0f",
    ),
    Line(label="… first byte p50, ms", scenario="storm", heading="first byte p50 ms", form=".0f"),
    Line(label="… all have the whole after, s", scenario="storm", heading="seconds", form=".1f"),
    Line(
        label="cold image, {case}: throughput over the store's alone, {clients}",
        scenario="cold",
        heading="GiB/s",
        form=".2f",
        glint=f"{GLINT}, sha512",
        case="store at",
        relative_to=STORE,
    ),
    Line(label="random parts of a hot image, a second", scenario="ranges", heading="parts/s", form=",.0f", case="hot"),
    Line(label="random parts of a cold image: p50, ms", scenario="ranges", heading="p50 ms", form=".0f", case="cold"),
    Line(label="{clients} slow clients: memory grows by, MiB", scenario="slow", heading="RSS growth MiB", form=".0f"),
    Line(
        label="`GET /v2/images/{{id}}` {case}: p99, ms", scenario="mixed", heading="p99 ms", form=",.0f", case="beside"
    ),
    Line(
        label="`GET /v2/images/{{id}}`, {clients} connections, a second",
        scenario="metadata",
        heading="requests/s",
        form=",.0f",
    ),
    Line(label="first hit after a restart with {case}, s", scenario="restart", heading="first hit s", form=".2f"),
)


def replaced(text: str, summaries: Mapping[str, Summary]) -> str:
    """The README with what stands between the marks made anew. Raises ValueError if there are no marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{block(summaries)}\n{END}{after}"


def block(summaries: Mapping[str, Summary]) -> str:
    parts = [_where(next(iter(summaries.values())))] if summaries else ["Not measured yet: `make bench`."]
    if "hot" in summaries:
        parts += [_hot(summaries["hot"]), _chart(summaries["hot"])]
    lines = [line for line in _LINES if line.scenario in summaries]
    if lines:
        parts.append("\n".join(_others(summaries, lines)))
    return "\n\n".join(parts)


def _where(summary: Summary) -> str:
    machine, versions = summary.machine, summary.versions
    kernel = ".".join(str(machine["kernel"]).split(".")[:2])
    peers = {"nginx": "nginx", "varnishd": "Varnish", "glance": "Glance"}
    told = ", ".join(f"{called} {versions[name]}" for name, called in peers.items() if name in versions)
    return (
        f"Medians of interleaved rounds on one machine ({machine['cores']} cores, {machine['cpu']}; Linux {kernel},\n"
        f"congestion control {machine['congestion_control']}, clients on the same cores), with {told}.\n"
        "`make bench` makes these tables and [the page with plots](bench/report.html) anew; ratios travel between\n"
        "machines, absolute numbers do not."
    )


def _hot(summary: Summary) -> str:
    counts = sorted({row.clients for row in summary.rows})
    heads = [f"{count} client{'s' if count != 1 else ''}" for count in counts]
    lines = [["hot download", *heads], ["---", *["--:"] * len(counts)]]
    for server, name in _HOT.items():
        lines.append([f"{name}, GiB/s", *_values(summary, server, counts, "GiB/s", ".2f")])
    for peer, name in ((NGINX, "nginx"), (NGINX_CUBIC, "nginx, given cubic"), (VARNISH, "Varnish")):
        for heading, told in (("GiB/s", "throughput"), ("CPU-s/GiB", "CPU seconds per GiB")):
            values = [_ratio(summary, count, peer, heading) for count in counts]
            lines.append([f"**Glint / {name}, {told}**", *(f"**{value}**" if value else "" for value in values)])
    return _table(line for line in lines if any(line[1:]))


def _chart(summary: Summary) -> str:
    clients = max(row.clients for row in summary.rows)
    servers = {NGINX: "nginx", NGINX_CACHE: "nginx proxy_cache", VARNISH: "Varnish", GLINT: "Glint", GLANCE: "Glance"}
    found = {name: row for server, name in servers.items() if (row := summary.row(server, clients))}
    values = [row.median("CPU-s/GiB") or 0.0 for row in found.values()]
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'    title "CPU seconds per GiB, {clients} clients (less is better)"',
            f"    x-axis {json.dumps([*found])}",
            f'    y-axis "CPU-s/GiB" 0 --> {max(values) * 1.1:.2f}',
            f"    bar [{', '.join(f'{value:.3f}' for value in values)}]",
            "```",
        ]
    )


def _others(summaries: Mapping[str, Summary], lines: Sequence[Line]) -> list[str]:
    found = [["", *_COLUMNS], ["---", *["--:"] * len(_COLUMNS)]]
    for line in lines:
        summary = summaries[line.scenario]
        group = _group(summary, line)
        if group is None:
            continue
        case, clients = group
        label = line.label.format(clients=_clients(line, clients), case=case)
        figures = [
            _figure(summary, line, line.glint if server == GLINT else server, case, clients)
            for server in _COLUMNS.values()
        ]
        if any(figures):
            found.append([label, *figures])
    return [_table(found)]


def _clients(line: Line, clients: int) -> str:
    """The label of `cold` wants the word with it."""
    return f"{clients} client{'s' if clients != 1 else ''}" if line.scenario == "cold" else f"{clients:,}"


def _group(summary: Summary, line: Line) -> tuple[str, int] | None:
    rows = [row for row in summary.rows if row.case.startswith(line.case)]
    if not rows:
        return None
    clients = max(row.clients for row in rows) if line.scenario != "cold" else min(row.clients for row in rows)
    return [row.case for row in rows if row.clients == clients][-1], clients


def _figure(summary: Summary, line: Line, server: str, case: str, clients: int) -> str:
    row = summary.row(server, clients, case)
    if row is None:
        return ""
    if line.relative_to:
        return shown(ratio(summary.rows, row, line.relative_to, line.heading), line.form)
    # The time so far of who still waited is in the waits: it makes a bound of a median only if half of them did.
    unanswered = row.median("unanswered") or 0
    is_bound = unanswered * 2 >= clients if "p50" in line.heading else unanswered > 0
    return ("≥ " if is_bound else "") + shown(row.median(line.heading), line.form)


def _values(summary: Summary, server: str, counts: Sequence[int], heading: str, form: str) -> list[str]:
    rows = [summary.row(server, count) for count in counts]
    return [shown(row.median(heading), form) if row else "" for row in rows]


def _ratio(summary: Summary, clients: int, peer: str, heading: str) -> str:
    ours: Row | None = summary.row(GLINT, clients)
    return shown(ratio(summary.rows, ours, peer, heading), ".2f") if ours else ""


def _table(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
