"""Puts a book of faults between this process and the files of one folder.

What goes through `os` is reached, and so is `pathlib`, which goes through it; `open` is for its opening only. SQLite
makes its calls itself, so a call to it is one call here, "sqlite"; for what it does with a disk that refuses there are
the real ones of tests/disk/mounts.py.
"""

import builtins
import io
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.disk.book import Book

# Which arguments of a call name the files it is about: descriptors or paths.
_HOOKED: Mapping[str, tuple[int, ...]] = {
    "open": (0,),
    "read": (0,),
    "pread": (0,),
    "preadv": (0,),
    "readv": (0,),
    "sendfile": (1,),
    "write": (0,),
    "writev": (0,),
    "pwrite": (0,),
    "pwritev": (0,),
    "posix_fallocate": (0,),
    "ftruncate": (0,),
    "truncate": (0,),
    "fsync": (0,),
    "fdatasync": (0,),
    "rename": (0, 1),
    "replace": (0, 1),
    "link": (0, 1),
    "unlink": (0,),
    "remove": (0,),
    "mkdir": (0,),
    "rmdir": (0,),
    "fchmod": (0,),
    "chmod": (0,),
    "utime": (0,),
}
_WRITES = ("write", "pwrite", "writev", "pwritev")
_readlink, _exists = os.readlink, os.path.exists
_TO_WRITE = os.O_WRONLY | os.O_RDWR


@contextmanager
def hooked(folder: Path, book: Book) -> Iterator[None]:
    """While this lasts, calls to files below `folder` happen as the book says. It must be a resolved path."""
    with ExitStack() as stack:
        for name, places in _HOOKED.items():
            hook = _Hook(name, places, getattr(os, name), str(folder), book)
            stack.enter_context(patch.object(os, name, hook.call))
        opening = _Hook("open", (0,), io.open, str(folder), book)
        for module in (io, builtins):
            stack.enter_context(patch.object(module, "open", opening.call))
        stack.enter_context(patch.object(sqlite3, "connect", _connecting(str(folder), book)))
        yield


class _Hook:
    def __init__(self, name: str, places: tuple[int, ...], original: Callable[..., Any], root: str, book: Book) -> None:
        self._name, self._places, self._original, self._root, self._book = name, places, original, root, book

    def call(self, *args: Any, **kwargs: Any) -> Any:
        path = None if _is_at_once(self._name, args) else self._path(args)
        if path is None:
            return self._original(*args, **kwargs)
        self._book.refresh()
        flips = False
        for one in self._book.due(self._names(path, args), path):
            self._book.suffer(one, self._name, path)
            if one.fault.short_bytes is not None:
                args = _with_data(self._name, args, _data(self._name, args)[: one.fault.short_bytes])
            flips |= one.fault.flips
        if flips and self._name in _WRITES:
            args = _with_data(self._name, args, _flipped(_data(self._name, args)))
        result = self._original(*args, **kwargs)
        if flips and self._name in ("pread", "read"):
            return _flipped(result)
        if flips and self._name in ("preadv", "readv") and result:
            memoryview(args[1][0]).cast("B")[0] ^= 1
        return result

    def _path(self, args: tuple[Any, ...]) -> str | None:
        for place in self._places:
            named: Any = args[place] if place < len(args) else None
            try:
                path = _readlink(f"/proc/self/fd/{named}") if isinstance(named, int) else os.fsdecode(named)
            except (OSError, TypeError):
                continue
            if path == self._root or path.startswith(f"{self._root}/"):
                return path
        return None

    def _names(self, path: str, args: tuple[Any, ...]) -> set[str]:
        """An opening is also known by what it is for, and what is sent to nowhere is a read that waits."""
        names = {self._name}
        if self._name == "sendfile" and _readlink(f"/proc/self/fd/{args[0]}") == os.devnull:
            names.add("read")
        if self._name == "open":
            mode = args[1] if len(args) > 1 else "r"
            flags = mode if isinstance(mode, int) else _flags(mode)
            if flags & _TO_WRITE:
                names.add("open_to_write")
            if flags & os.O_CREAT and not _exists(path):
                names.add("create")
        return names


def _connecting(root: str, book: Book) -> Callable[..., sqlite3.Connection]:
    """Opens databases as sqlite3 does; those below `root` keep to the book from the opening on."""
    original: Callable[..., sqlite3.Connection] = sqlite3.connect

    def suffer(path: str) -> None:
        book.refresh()
        for one in book.due({"sqlite"}, path):
            try:
                book.suffer(one, "sqlite", path)
            except OSError as error:
                raise sqlite3.OperationalError("disk I/O error") from error

    def connect(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        path = os.fsdecode(database)
        if not path.startswith(f"{root}/"):
            return original(database, *args, **kwargs)
        suffer(path)
        return original(database, *args, **kwargs, factory=_connection(lambda: suffer(path)))

    return connect


def _connection(suffer: Callable[[], None]) -> type[sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            suffer()
            return super().execute(*args)

        def executemany(self, *args: Any) -> sqlite3.Cursor:
            suffer()
            return super().executemany(*args)

        def executescript(self, *args: Any) -> sqlite3.Cursor:
            suffer()
            return super().executescript(*args)

        def close(self) -> None:
            suffer()
            super().close()

    return Connection


def _is_at_once(name: str, args: tuple[Any, ...]) -> bool:
    """Whether it asks for what lies in memory only, which no disk has a part in."""
    return name == "preadv" and len(args) > 3 and bool(args[3] & os.RWF_NOWAIT)


def _flags(mode: str) -> int:
    """Of the text that `open` takes."""
    return 0 if set(mode) <= set("rbt") else os.O_RDWR | (0 if "r" in mode else os.O_CREAT)


def _data(name: str, args: tuple[Any, ...]) -> bytes:
    """What a call would write."""
    return b"".join(map(bytes, args[1])) if name.endswith("v") else bytes(args[1])


def _with_data(name: str, args: tuple[Any, ...], data: bytes) -> tuple[Any, ...]:
    return (args[0], [data] if name.endswith("v") else data, *args[2:])


def _flipped(data: Any) -> bytes:
    changed = bytearray(data)
    if changed:
        changed[len(changed) // 2] ^= 1
    return bytes(changed)
