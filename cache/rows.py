"""What the index tells of entries and of room, for lists and statistics."""

from dataclasses import dataclass

from cache.types import Digest

COLUMNS = "key, size_bytes, digest_algorithm, digest_value, hits, used_at_s, created_at_s, pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row, for lists and statistics."""

    key: str
    size_bytes: int
    digest: Digest | None
    hits: int
    used_at_s: float
    created_at_s: float
    pinned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Bytes charged against the limit, and how many entries there are.

    `leaving_bytes` lie in files that are out of use and still read, `quarantined_bytes` in damaged ones.
    """

    entries: int
    committed_bytes: int
    reserved_bytes: int
    leaving_bytes: int = 0
    quarantined_bytes: int = 0

    @property
    def charged_bytes(self) -> int:
        return self.committed_bytes + self.reserved_bytes + self.leaving_bytes + self.quarantined_bytes


def entry_of(
    key: str,
    size_bytes: int,
    algorithm: str | None,
    value: str | None,
    hits: int,
    used_at_s: float,
    created_at_s: float,
    pinned: int,
) -> Entry:
    return Entry(
        key=key,
        size_bytes=size_bytes,
        digest=Digest(algorithm, value) if algorithm and value else None,
        hits=hits,
        used_at_s=used_at_s,
        created_at_s=created_at_s,
        pinned=bool(pinned),
    )
