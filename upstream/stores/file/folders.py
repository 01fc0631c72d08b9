"""The folders of one file store. Blocks: runs in threads."""

import errno
import os
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import structlog

from upstream.errors import DataNotFound, Denied, Invalid, StoreFull
from upstream.stores.file.files import Folder, sync_dir, translated
from upstream.stores.file.room import Room, ranked

log = structlog.get_logger()


class Folders:
    """One or several. In `free_min_bytes` of each nothing is written; what lies in any of them is found and removed."""

    def __init__(self, store_id: str, folders: Sequence[Folder], free_min_bytes: int = 0) -> None:
        self.store_id, self._all, self._free_min_bytes = store_id, list(folders), free_min_bytes

    def prepare(self, dir_mode: int | None, file_mode: int | None) -> int:
        """Make the folders and remove what killed processes left in them; gives the number of these.

        One of several that cannot be used is left out, and one that cannot be written to is read, with a warning.
        Raises Denied, which names the folder and is for operators, if none can be used.
        """
        removed, usable, last = 0, list[Folder](), ""
        for folder in self._all:
            try:
                removed += folder.prepare(dir_mode)
            except OSError as error:
                last = f"{folder.dir} cannot be made or read: {os.strerror(error.errno or errno.EIO)}"
                log.warning("store.folder_unusable", store=self.store_id, folder=str(folder.dir), reason=last)
                continue
            if any(other.real == folder.real for other in usable):
                log.warning("store.folder_twice", store=self.store_id, folder=str(folder.dir))
                continue
            usable.append(folder)
            if not folder.is_writable:
                log.warning("store.folder_read_only", store=self.store_id, folder=str(folder.dir), uid=os.geteuid())
            elif file_mode is not None and dir_mode is None:
                _open_to(folder, file_mode)
        if not usable:
            raise Denied(f"{last}, by the user of this process (uid {os.geteuid()})")
        self._all = usable
        return removed

    def best(self, needed_bytes: int) -> list[Folder]:
        """Where an image of so many bytes may be written, the best first. Raises StoreFull, Denied."""
        if not any(folder.is_writable for folder in self._all):
            raise Denied(f"{self.store_id} takes no data: it may not write to its folder")
        rooms = [Room(priority=folder.priority, free_bytes=self._free_bytes(folder)) for folder in self._all]
        found = [self._all[place] for place in ranked(rooms, needed_bytes)]
        if not found:
            raise StoreFull(f"{self.store_id} has no room for {needed_bytes} bytes{self._because()}")
        return found

    def check_room(self, folder: Folder, needed_bytes: int) -> None:
        """Whether so many bytes more may be written there. Raises StoreFull, OSError."""
        if self._free_min_bytes and folder.free_bytes - self._free_min_bytes < needed_bytes:
            raise StoreFull(f"{self.store_id} has no room for more{self._because()}")

    def _because(self) -> str:
        return f": {self._free_min_bytes} bytes have to stay free" if self._free_min_bytes else ""

    def _free_bytes(self, folder: Folder) -> int:
        try:
            return folder.free_bytes - self._free_min_bytes if folder.is_writable else 0
        except OSError as error:
            log.warning("store.folder_unusable", store=self.store_id, folder=str(folder.dir), reason=error.strerror)
            return 0

    def holding(self, name: str) -> list[Folder]:
        """Those with a file of that name, or a link, wherever it leads."""
        return [folder for folder in self._all if os.path.lexists(folder.place(name))]

    def find(self, named: PurePosixPath) -> tuple[Path, int]:
        """The real path of a file and its size. Raises Invalid outside the folders, DataNotFound if it is no file."""
        with translated(self.store_id):
            path = self.inside(named)
            found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataNotFound(self.store_id)
        return path, found.st_size

    def inside(self, named: PurePosixPath) -> Path:
        """See `Finds`."""
        path = Path(os.path.realpath(named, strict=True))
        if not any(folder.has(path) for folder in self._all):
            raise Invalid(f"a location points outside the folders of {self.store_id}")
        return path

    def remove(self, named: PurePosixPath) -> None:
        """Unlink the name, not what a symbolic link of that name points to."""
        with translated(self.store_id):
            path = self.inside(named.parent) / named.name
            path.unlink()
            sync_dir(path.parent)

    def remove_leftover(self, image_id: str, kept: Collection[PurePosixPath]) -> None:
        """What killed writers of that image left, in whichever folder, but for the paths that are `kept`."""
        with translated(self.store_id):
            for folder in self._all:
                folder.remove_parts(image_id)
            kept_files = {os.path.realpath(path) for path in kept}  # however their folder is spelled there
            left = [
                path
                for folder in self.holding(image_id)
                if os.path.realpath(path := folder.place(image_id)) not in kept_files
            ]
        for path in left:
            with suppress(DataNotFound):
                self.remove(PurePosixPath(path))

    def names(self) -> list[str]:
        """The ids of all images whose data are here."""
        with translated(self.store_id):
            return sorted({name for folder in self._all for name in folder.names()})


def _open_to(folder: Folder, file_mode: int) -> None:
    try:
        folder.open_to(file_mode)
    except OSError as error:
        log.warning("store.folder_closed", store=folder.store_id, folder=str(folder.dir), reason=error.strerror)
