"""What can go wrong with the cache's own parts. HTTP appears only in proxy/errors.py."""

import sqlite3


class CacheError(Exception):
    """Something in the cache failed."""


class CacheUnusable(CacheError):
    """No room or no disk. The store is well: readers go on past the cache, from where they stand."""


class CacheFull(CacheUnusable):
    """Pinned and promised bytes leave no room for this entry."""

    def __init__(self, need_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"no room for {need_bytes} bytes within the limit of {limit_bytes}")
        self.need_bytes, self.limit_bytes = need_bytes, limit_bytes


class DiskFailed(CacheUnusable):
    """The cache's disk refused something, or did not answer in time."""

    def __init__(self, operation: str, error: OSError | sqlite3.Error) -> None:
        reason, path = getattr(error, "strerror", None) or error, getattr(error, "filename", None)
        super().__init__(f"the cache's disk refused to {operation}: {reason}{f' ({path})' if path else ''}")
        self.operation, self.error = operation, error


class HeldUp(CacheUnusable):
    """The disk keeps a fill waiting. It may be well; who has no byte yet goes to the store all the same."""

    def __init__(self) -> None:
        super().__init__("the cache's disk is slow to take what is being fetched")


class NotWorthAFill(CacheUnusable):
    """Only a part was asked for, and not often enough to copy the whole; or a copy was not wanted."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is not in the cache, and is read past it")


class GoneRound(CacheError):
    """The fill showed no life for too long, and another process fills the image now."""


class FillFailed(CacheError):
    """The fill of another process failed; its log says why."""


class Abandoned(CacheError):
    """The fill was ended on purpose: its last reader left, or Glint stops."""


class DigestMismatch(CacheError):
    """The bytes are not those of the image. Neither value is secret."""

    def __init__(self, key: str, algorithm: str, expected: str, got: str) -> None:
        super().__init__(f"{algorithm} of {key} is {got}, expected {expected}")
        self.key, self.algorithm, self.expected, self.got = key, algorithm, expected, got


class WrongSize(CacheError):
    """The source ended early or went on after the size of the image."""

    def __init__(self, key: str, expected_bytes: int, got_bytes: int) -> None:
        super().__init__(f"{key} has {expected_bytes} bytes, its source gave {got_bytes}")
        self.key, self.expected_bytes, self.got_bytes = key, expected_bytes, got_bytes


class Stalled(CacheError):
    """A source gave no byte for too long."""

    def __init__(self, idle_s: float) -> None:
        super().__init__(f"no byte came for {idle_s:g} s")
        self.idle_s = idle_s


class UnknownFormat(CacheError):
    """The directory was written by another version of Glint; it is left alone."""
