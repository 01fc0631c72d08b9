"""The page and the README say what the summary says, and nothing else."""

import html.parser
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench import readme, report, summary
from bench.catalogue import SCENARIOS
from bench.places import GLANCE, GLINT, NGINX, NGINX_CACHE, VARNISH
from bench.results import Row
from bench.summary import Summary

ROOT = Path(__file__).parents[2]
MACHINE = {
    "cpu": "A CPU",
    "cores": 2,
    "memory_bytes": 2**33,
    "kernel": "6.1.2",
    "congestion_control": "cubic",
    "python": "3.11.0",
    "load": 0.1,
}


def row(server: str, clients: int, case: str, values: dict[str, float]) -> Row:
    three = {name: (value, value * 0.9, value * 1.2) for name, value in values.items()}
    return Row(case=case, clients=clients, server=server, rounds=3, values=three)


def made(scenario: str, *rows: Row) -> Summary:
    return Summary(
        scenario=scenario,
        at="2026-01-01T00:00:00+00:00",
        commit="abc1234",
        machine=MACHINE,
        versions={"nginx": "1.2.3", "varnishd": "7.8.9"},
        load=asdict(SCENARIOS[scenario].small),
        rows=rows,
    )


@pytest.fixture
def summaries() -> dict[str, Summary]:
    def hot(server: str, clients: int, gib_s: float, cpu: float, **more: float) -> Row:
        values = {"GiB/s": gib_s, "CPU-s/GiB": cpu, "first byte p50 ms": 5.0, "unanswered": 0.0} | more
        return row(server, clients, "", values)

    found = [
        made(
            "hot",
            *(hot(NGINX, clients, 2.0, 0.2) for clients in (1, 64)),
            *(hot(GLINT, clients, 2.5, 0.1) for clients in (1, 64)),
            hot(GLANCE, 64, 0.5, 1.0, **{"first byte p50 ms": 2100.0, "unanswered": 48.0}),
        ),
        made(
            "storm",
            *(row(server, 1000, "24 MiB", {"store reads": 1.0, "seconds": 9.0}) for server in (GLINT, VARNISH)),
        ),
        made(
            "cold",
            row("store alone", 1, "store at 256 MiB/s", {"GiB/s": 0.25}),
            row("glint, sha512", 1, "store at 256 MiB/s", {"GiB/s": 0.24}),
            row(NGINX_CACHE, 1, "store at 256 MiB/s", {"GiB/s": 0.2}),
        ),
    ]
    return {one.scenario: one for one in found}


class Cells(html.parser.HTMLParser):
    """The tables of a page, cell by cell."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[list[str]] = []
        self._is_cell = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.lines.append([])
        if tag in {"td", "th"}:
            self._is_cell = True
            self.lines[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_cell = self._is_cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.lines[-1][-1] += data


def test_the_readme_and_the_page_in_the_repository_are_those_of_the_newest_summary() -> None:
    kept = summary.read()
    text, page = (ROOT / report.README).read_text(), (ROOT / report.PAGE).read_text()

    assert list(kept) == [name for name in SCENARIOS if name in kept]
    assert text == readme.replaced(text, kept), "run `python -m bench report`"
    assert f'content="{report.digest(kept)}"' in page, "run `python -m bench report`"
    for name, one in kept.items():
        assert report.table(SCENARIOS[name], one) in page


def test_the_page_in_the_repository_is_small_and_names_no_place() -> None:
    page = (ROOT / report.PAGE).read_text()

    assert len(page) < 500_000
    for found in re.findall(r"https?://[^\s\"<]+", page):  # names of XML, which nobody fetches
        assert found.startswith(("http://www.w3.org/", "https://www.w3.org/")), found
    assert not re.search(r"(/home/|/root/|/tmp/|localhost|127\.0\.0\.1)", page)
    assert "<script" not in page


def test_the_readme_shows_medians_ratios_and_bounds(summaries: dict[str, Summary]) -> None:
    text = readme.replaced(f"before\n{readme.BEGIN}\nstale\n{readme.END}\nafter\n", summaries)

    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert "| **Glint / nginx, throughput** | **1.25** | **1.25** |" in text
    assert "| **Glint / nginx, CPU seconds per GiB** | **0.50** | **0.50** |" in text
    assert "| 64 clients, hot image: first byte p50, ms | 5 | 5 |  |  | ≥ 2100 |" in text
    assert "1,000 clients ask at once for a cold image (24 MiB): reads of the store | 1 |  |  | 1 |  |" in text
    assert "| 0.96 |  | 0.80 |  |  |" in text  # over the store alone
    assert "nginx 1.2.3, Varnish 7.8.9" in text


def test_a_readme_without_a_place_for_the_tables_is_left_alone(summaries: dict[str, Summary], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="has no lines"):
        report.write(summaries, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_the_page_has_a_plot_and_a_table_for_each_scenario_and_is_the_same_each_time(
    summaries: dict[str, Summary],
) -> None:
    page = report.render(summaries)

    assert page == report.render(summaries)
    assert page.count("<svg") == page.count("</svg>") == 3  # a figure that no row has is not drawn
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    cells = Cells()
    cells.feed(page)
    assert [line[1] for line in cells.lines if line[:1] == ["64"]] == [NGINX, GLINT, GLANCE]
    assert "glint / nginx, 64 clients: GiB/s 1.25 x" in page


def test_a_summary_keeps_one_line_for_each_scenario(summaries: dict[str, Summary], tmp_path: Path) -> None:
    path = tmp_path / "summary.jsonl"
    for one in [*summaries.values(), summaries["hot"]]:
        summary.keep(one, path)

    lines = path.read_text().splitlines()
    assert [json.loads(line)["scenario"] for line in lines] == [name for name in SCENARIOS if name in summaries]
    kept = summary.read(path)["hot"]
    found = kept.row(GLINT, 64)
    assert found is not None
    assert found.median("GiB/s") == 2.5
    assert found.values["GiB/s"] == (2.5, 2.25, 3.0)
