"""What Prometheus scrapes: which version runs, and names and texts in the form that its users expect."""

import re
from importlib.metadata import version

import pytest
from prometheus_client import CollectorRegistry, Metric

from metrics import Instruments, RegistryInstruments, Supervision, build_metrics_app

UNITS_OF_OLD = re.compile(r"_(ms|millis|us|minutes|hours|kb|mb|mib|gib|percent)(_|$)")


def families() -> list[Metric]:
    registry = CollectorRegistry()
    Supervision(registry)
    registries = (registry, Instruments().registry, RegistryInstruments().registry)
    return [family for each in registries for family in each.collect()]


def test_the_version_that_runs_is_a_number_of_every_port() -> None:
    registry = CollectorRegistry()
    build_metrics_app(registry)
    assert registry.get_sample_value("glint_build_info", {"version": version("glint")}) == 1


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_a_metric_is_named_in_base_units_and_described_in_a_sentence(family: Metric) -> None:
    assert re.fullmatch(r"glint_[a-z][a-z_]*[a-z]", family.name)
    assert not UNITS_OF_OLD.search(family.name)
    assert family.documentation[0].isupper()
    assert family.documentation.endswith(".")
    if family.type == "histogram":
        assert family.name.endswith(("_seconds", "_bytes"))
