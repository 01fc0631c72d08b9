"""Staged data that are made into others, by whatever program: these then have their name, or nothing has happened."""

import os
import threading
from contextlib import suppress
from pathlib import Path

from upstream.stores.file import Folder, create_part, sync_dir, translated


class Rework:
    """`source` is read, `target` is there and empty. Blocks: runs in threads.

    Who starts later finds a target by its name, and by its lock whether it is still worked at (`files.Part`).
    """

    def __init__(self, store_id: str, folder: Path, image_id: str) -> None:
        self._folder, self._image_id = Folder(store_id, folder), image_id
        self._lock, self._fd, self._closed = threading.Lock(), -1, False
        self.source, self.target = self._folder.place(image_id), Path()
        self.is_wanted = False

    def head(self, size_bytes: int) -> bytes:
        with translated(self._folder.store_id), self.source.open("rb") as file:
            return file.read(size_bytes)

    def open(self) -> None:
        with self._lock, translated(self._folder.store_id):
            if not self._closed:
                self.target, self._fd = create_part(self._folder, self._image_id, 0o600)

    def publish(self) -> None:
        """Data to disk, then the name, then the folder: a crash leaves the old data or the new."""
        with self._lock, translated(self._folder.store_id):
            if not self._closed:
                os.fdatasync(self._fd)
                self.target.replace(self.source)
                sync_dir(self.source.parent)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._fd >= 0:
                with suppress(OSError):
                    self.target.unlink(missing_ok=True)
                os.close(self._fd)
                self._fd = -1
