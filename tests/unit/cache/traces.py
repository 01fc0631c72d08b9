"""Downloads as clouds ask for them, by seed."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from random import Random

from cache import Download
from tests.content import GIB

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def sizes_of(chance: Random, images: int) -> list[int]:
    """A few hundred MiB to some GiB, in bytes."""
    return [int(chance.lognormvariate(0, 0.8) * GIB) for _ in range(images)]


def download(key: str, size_bytes: int, at_s: float, took_s: float = 1.0) -> Download:
    return Download(key=key, size_bytes=size_bytes, sent_bytes=size_bytes, began_at_s=at_s, ended_at_s=at_s + took_s)


def zipf(
    chance: Random, sizes: list[int], exponent: float, *, count: int, start_s: float, stop_s: float, prefix: str = "hot"
) -> list[Download]:
    """Downloads at any time of that span: the n-th image is as popular as n to the power of `-exponent`."""
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(len(sizes))))
    chosen = chance.choices(range(len(sizes)), cum_weights=weights, k=count)
    return [download(f"{prefix}-{image}", sizes[image], chance.uniform(start_s, stop_s)) for image in chosen]


def scan(sizes: Iterable[int], *, start_s: float, stop_s: float, prefix: str = "scan") -> list[Download]:
    """Each image once, evenly over that span."""
    all_sizes = list(sizes)
    step_s = (stop_s - start_s) / len(all_sizes)
    return [download(f"{prefix}-{n}", size, start_s + n * step_s) for n, size in enumerate(all_sizes)]


def storm(key: str, size_bytes: int, *, count: int, start_s: float, lasts_s: float) -> list[Download]:
    """All servers boot from one image: they begin one after the other, and the first ends last."""
    begins = [start_s + n * lasts_s / count for n in range(count)]
    return [download(key, size_bytes, at_s, took_s=start_s + lasts_s - at_s) for at_s in begins]


def next_version(downloads: Iterable[Download]) -> list[Download]:
    """The same, of new images in the place of the old ones."""
    return [replace(one, key=f"{one.key}-next") for one in downloads]
