"""All scenarios, in the order in which `make bench` runs them."""

from collections.abc import Mapping

from bench.scenarios import cold, hot, listing, metadata, mixed, pages, ranges, restart, slow, storm
from bench.session import AnyScenario

_IN_ORDER = (hot, cold, storm, ranges, slow, mixed, pages, restart, metadata, listing)

SCENARIOS: Mapping[str, AnyScenario] = {one.SCENARIO.name: one.SCENARIO for one in _IN_ORDER}
