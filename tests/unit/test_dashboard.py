"""The dashboard asks for numbers that there are, by labels that they have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from metrics import Instruments, Supervision, build_metrics_app

BOARD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "metrics" / "dashboards" / "glint.json").read_text())
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
FROM_PROMETHEUS = {"instance", "le"}


def labels_of_metrics() -> Iterator[tuple[str, set[str]]]:
    instruments, registry = Instruments(), CollectorRegistry()
    Supervision(registry)
    build_metrics_app(registry)
    for attribute in vars(instruments).values():
        for family in attribute.describe() if hasattr(attribute, "describe") else ():
            names = [family.name, f"{family.name}_total", f"{family.name}_bucket"]
            yield from ((name, set(attribute._labelnames)) for name in names)
    yield "glint_build_info", {"version"}


KNOWN = dict(labels_of_metrics())


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_a_metric_and_labels_of_it(query: str) -> None:
    metrics = re.findall(r"glint_[a-z_]+", query)
    assert metrics
    assert set(metrics) <= set(KNOWN)
    grouped = [name for names in re.findall(r"by \(([^)]*)\)", query) for name in names.split(", ")]
    matched = re.findall(r"[{,]([a-z_]+)[!=]", query)
    assert {*grouped, *matched} - FROM_PROMETHEUS <= set().union(*(KNOWN[metric] for metric in metrics))


def test_panels_have_numbers_of_their_own_and_lie_beside_one_another() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    taken = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
