"""What the metrics port of a running Glint says about its cache."""

from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from metrics import MetricsConfig
from proxy.commands.node import connectable

_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Counted since the service began."""

    fills_in_flight: int
    hits: int
    joins: int
    misses: int
    bypasses: int
    evictions: int

    @property
    def hit_ratio(self) -> float | None:
        """Downloads that found their image, whole or on its way, among all that looked for one."""
        asked = self.hits + self.joins + self.misses + self.bypasses
        return (self.hits + self.joins) / asked if asked else None


async def fetch_numbers(config: MetricsConfig) -> Numbers | None:
    """None if the port does not answer."""
    url = f"http://{connectable(config.host)}:{config.port}/metrics"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as session,
            session.get(url) as answer,
        ):
            text = await answer.text()
        return _read(text)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


def _read(text: str) -> Numbers:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, **labels: str) -> int:
        return int(sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items()))

    return Numbers(
        fills_in_flight=total("glint_fills_in_flight"),
        hits=total("glint_downloads_total", outcome="hit"),
        joins=total("glint_downloads_total", outcome="join"),
        misses=total("glint_downloads_total", outcome="miss"),
        bypasses=total("glint_downloads_total", outcome="bypass"),
        evictions=total("glint_evictions_total"),
    )
