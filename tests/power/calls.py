"""What a process did to a folder, call by call, in the order in which the kernel finished the calls."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """`handle` names what was opened from here on, whatever happens to its path. Folders are opened to be synced."""

    handle: int
    path: str
    creates: bool = False
    truncates: bool = False
    appends: bool = False
    mode: int = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """`offset` None: where the handle stands, or at the end for one that appends."""

    handle: int
    data: bytes
    offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    handle: int
    size_bytes: int
    only_grows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """Promises that all that was done before call number `began` is durable; with `data_only`, no permission bits."""

    handle: int
    began: int
    data_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chmod:
    """By `handle`, or by `path` if that is None."""

    mode: int
    handle: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mkdir:
    path: str
    mode: int = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    path: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Of a file, or of an empty folder."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Said by the process itself: what it has been promised by now."""

    text: str


Call = Open | Write | Truncate | Sync | Chmod | Mkdir | Rename | Remove | Mark
