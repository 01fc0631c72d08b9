"""The bytes of one file on a disk that loses power: those that were synced, and pages of those that were not."""

import random
from dataclasses import dataclass, field

PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes written, or with `data` None a new length."""

    number: int
    offset: int
    data: bytes | None
    size_bytes: int  # of the file afterwards


@dataclass(slots=True)
class File:
    durable: bytearray = field(default_factory=bytearray)
    patches: list[Patch] = field(default_factory=list)
    size_bytes: int = 0


def torn(file: File, chance: random.Random) -> bytes:
    if not file.patches:
        return bytes(file.durable)
    sizes = [len(file.durable), *(patch.size_bytes for patch in file.patches)]
    size_bytes = chance.choice((sizes[-1], max(sizes), chance.choice(sizes)))
    return content_of(file, size_bytes, Pages(chance))


class Pages:
    """Decides of each page how many of the writes to it have reached the disk."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._odds = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        self._stops: dict[int, int] = {}

    def has(self, page: int, patch: int, patches: int) -> bool:
        if page not in self._stops:
            is_there = self._chance.random() < self._odds
            self._stops[page] = patches if is_there else self._chance.choice((0, self._chance.randint(0, patches)))
        return patch < self._stops[page]


def content_of(file: File, size_bytes: int | None, pages: Pages | None) -> bytes:
    """The durable part with the patches laid over, all of them or those that `pages` lets through."""
    content = bytearray(file.durable)
    for number, patch in enumerate(file.patches):
        if patch.data is None:
            if pages is None:
                _resize(content, patch.size_bytes)
            continue
        if len(content) < patch.offset + len(patch.data):
            _resize(content, patch.offset + len(patch.data))
        if pages is None:
            content[patch.offset : patch.offset + len(patch.data)] = patch.data
            continue
        at, stop = patch.offset, patch.offset + len(patch.data)
        while at < stop:
            upto = min(stop, (at // PAGE_BYTES + 1) * PAGE_BYTES)
            if pages.has(at // PAGE_BYTES, number, len(file.patches)):
                content[at:upto] = patch.data[at - patch.offset : upto - patch.offset]
            at = upto
    if size_bytes is not None:
        _resize(content, size_bytes)
    return bytes(content)


def _resize(content: bytearray, size_bytes: int) -> None:
    del content[size_bytes:]
    content.extend(bytes(size_bytes - len(content)))
