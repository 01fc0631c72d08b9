"""The one file that a gzip file or a zip archive holds, piece by piece in little memory. Blocks: runs in threads.

An archive is a stranger's: it may be broken, and may hold a million times its size.
"""

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from proxy.tasks import TaskFailed

HEAD_BYTES = 5
PIECE_BYTES = 1024 * 1024
_BROKEN = (
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # what zipfile inflates in bounded memory
_ENCRYPTED = 0x1


def kind_of(head: bytes) -> str | None:
    """By the first `HEAD_BYTES`: gzip, zip, lha; None for what is no archive that a plugin of Glance takes for one."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    return "lha" if head[2:5] == b"-lh" else None


class Unpacking:
    """Writes what is in `source` to `target`, at most `limit_bytes`; one call at a time. Raises TaskFailed, OSError."""

    def __init__(self, kind: str, source: Path, target: Path, limit_bytes: int) -> None:
        self._kind, self._source, self._target, self._limit_bytes = kind, source, target, limit_bytes
        self._stack = ExitStack()
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def open(self) -> None:
        opening: dict[str, Callable[[], gzip.GzipFile | IO[bytes]]] = {"gzip": self._open_gzip, "zip": self._open_zip}
        if self._kind not in opening:
            raise TaskFailed("The image is an LHA archive, and those are not supported: use gzip or zip.")
        try:
            self._content = opening[self._kind]()
        except _BROKEN as error:
            raise self._broken(error) from error
        self._out = self._stack.enter_context(self._target.open("r+b"))

    def step(self) -> bool:
        """Whether there may be more."""
        try:
            piece = self._content.read(PIECE_BYTES)
        except _BROKEN as error:
            raise self._broken(error) from error
        self.size_bytes += len(piece)
        if self.size_bytes > self._limit_bytes:
            raise TaskFailed(f"The image holds more than the {self._limit_bytes} bytes that are allowed.")
        self._out.write(piece)
        if not piece:
            self._out.flush()
        return bool(piece)

    def _open_gzip(self) -> gzip.GzipFile:
        return self._stack.enter_context(gzip.GzipFile(self._source, "rb"))

    def _open_zip(self) -> IO[bytes]:
        raw = self._stack.enter_context(_Frugal(self._source))
        archive = self._stack.enter_context(zipfile.ZipFile(raw))
        entries = archive.infolist()
        if len(entries) != 1 or entries[0].is_dir():
            raise TaskFailed(f"The image is a zip archive that should hold one file, but has {len(entries)} entries.")
        (entry,) = entries
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
            raise TaskFailed("The image is a zip archive of a kind that is not supported: use deflate, no encryption.")
        return self._stack.enter_context(archive.open(entry))

    def _broken(self, error: Exception) -> TaskFailed:
        return TaskFailed(f"The image is a broken {self._kind} file: {str(error)[:200] or type(error).__name__}")


class _Frugal(io.FileIO):
    """Refuses to be read in large pieces: zipfile takes the list of entries whole, however long."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = size if size is not None and size >= 0 else os.fstat(self.fileno()).st_size - self.tell()
        if wanted > PIECE_BYTES:
            raise zipfile.BadZipFile("the list of its entries is too long for one file")
        return super().read(max(wanted, 0)) or b""
