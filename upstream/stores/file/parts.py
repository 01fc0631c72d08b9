"""A file of the file store that is being written: published whole, or nothing is left. Blocks: runs in threads."""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from upstream.errors import DataNotFound, Denied, Duplicate, Invalid, Unavailable
from upstream.stores.file.files import SAFE_ID, Folder, create_part, sync_dir, translated
from upstream.stores.file.folders import Folders
from upstream.stores.file.sparse import Blocks

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How files are written. `mode` None: by the process's umask. `is_thin`: zeros stay holes."""

    mode: int | None = None
    is_thin: bool = False


class Part:
    """A file being written under a name that no reader takes for an image.

    An flock tells a part that grows from one whose writer was killed. After `abandon` nothing is left, whatever else
    was or still is going on; calls that come later do nothing.
    """

    def __init__(self, folders: Folders, image_id: str, how: How) -> None:
        if not SAFE_ID.fullmatch(image_id):
            raise Invalid(f"not an image id: {image_id!r}")
        self._folders, self._image_id, self._how = folders, image_id, how
        self._lock, self._fd, self._abandoned, self._published = threading.Lock(), -1, False, False
        self._part = self._final = Path()
        self._folder: Folder | None = None
        self._blocks = Blocks() if how.is_thin else None
        self.size_bytes = 0

    @property
    def folder(self) -> Folder:
        """Once open."""
        assert self._folder is not None
        return self._folder

    def open(self, hint_bytes: int | None) -> None:
        """Raises Duplicate at once, before the data is read for nothing, and StoreFull if it cannot fit.

        A folder that fails just now is passed over; the last one's error is raised.
        """
        with self._lock:
            if self._abandoned:
                return
            if self._folders.holding(self._image_id):
                raise Duplicate(f"{self._folders.store_id} already has data of that image")
            self._create_in_first(self._folders.best(hint_bytes or 0))

    def _create_in_first(self, best: Sequence[Folder]) -> None:
        for folder in best:
            try:
                self._create(folder)
            except (Denied, Unavailable, DataNotFound) as error:
                reason = str(error)
                log.warning("store.folder_refused", store=folder.store_id, folder=str(folder.dir), reason=reason)
                if folder is best[-1]:
                    raise
            else:
                return

    def _create(self, folder: Folder) -> None:
        with translated(folder.store_id):
            self._part, self._fd = create_part(folder, self._image_id, 0o666)
        self._folder, self._final = folder, folder.place(self._image_id)

    def append(self, chunks: Sequence[bytes]) -> None:
        with self._lock, translated(self._folders.store_id):
            if self._abandoned:
                return
            self._folders.check_room(self.folder, sum(map(len, chunks)))
            if self._blocks is None:
                self.size_bytes += _write_all(self._fd, chunks)
                return
            for chunk in chunks:
                for at, data in self._blocks.take(chunk):
                    _write_at(self._fd, data, at)
            self.size_bytes = self._blocks.size_bytes

    def publish(self) -> None:
        """Data to disk, then the name, then the folder: a crash leaves a whole image or a part. Overwrites nothing."""
        with self._lock, translated(self._folders.store_id):
            if self._abandoned:
                return
            self._end_holes()
            if self._how.mode is not None:
                os.fchmod(self._fd, self._how.mode)
            os.fdatasync(self._fd)
            os.link(self._part, self._final)
            self._published = True
            if self._folders.holding(self._image_id) != [self._folder]:
                # Another writer was as quick in another folder; perhaps it finds this one and gives up as well.
                raise Duplicate(f"{self._folders.store_id} already has data of that image")
            self._part.unlink()
            sync_dir(self._final.parent)
            self._release()

    def _end_holes(self) -> None:
        """The last block, and the size: a hole at the end is none by itself."""
        if self._blocks is not None:
            for at, data in self._blocks.end():
                _write_at(self._fd, data, at)
            os.ftruncate(self._fd, self._blocks.size_bytes)

    def abandon(self) -> None:
        """Undo what was done, also a publish that ended after its caller was cancelled."""
        with self._lock:
            self._abandoned = True
            for path, ours in ((self._final, self._published), (self._part, self._part.name)):
                if ours:
                    with suppress(OSError):
                        path.unlink()
            self._release()

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write_all(fd: int, chunks: Sequence[bytes]) -> int:
    """At the end of the file, however often it takes; gives the number of bytes."""
    left, total = [memoryview(chunk) for chunk in chunks if chunk], 0
    while left:
        written = os.writev(fd, left)
        total += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
    return total


def _write_at(fd: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(fd, data, at)
        data, at = data[written:], at + written
