"""How files leave the cache's folder: at once, once nobody reads them any more, or into quarantine. It blocks."""

import contextlib
import os
import secrets
from pathlib import Path

from cache.files import Mark, become_filler, become_remover, is_at, look
from cache.layout import SUMS, Layout


class Leaving(Layout):
    """The part of a `Folder` that takes files out of use."""

    def take_unread(self, key: str) -> int | None:
        """The descriptor of an entry that nobody reads and nobody can begin to read; None if somebody does.

        The caller removes the entry, or not, and closes the descriptor. Raises FileNotFoundError.
        """
        fd = os.open(self.entry_path(key), os.O_RDWR | os.O_CLOEXEC)
        try:
            if become_remover(fd) and is_at(fd, self.entry_path(key)):
                taken, fd = fd, -1
                return taken
            return None
        finally:
            if fd >= 0:
                os.close(fd)

    def remove_entry(self, key: str) -> None:
        """Unlink an entry and its sums; it may be gone already. For who has it by `take_unread`. Raises OSError."""
        self.entry_path(key).unlink(missing_ok=True)
        self.sums_path(key).unlink(missing_ok=True)

    def retire_entry(self, key: str) -> bool:
        """Take an entry out of use; who reads it finishes. Whether there was one. Raises OSError."""
        if not self.retire(self.entry_path(key)):
            return False
        self.sums_path(key).unlink(missing_ok=True)
        return True

    def retire_fill(self, path: Path, fd: int) -> None:
        """The same for the fill that is open as `fd`; nothing if another process has gone round it. Raises OSError."""
        if is_at(fd, path):  # else the name may be a new fill's
            self.retire(path, look(fd).mark)

    def retire(self, path: Path, was: Mark = Mark.LEFT) -> bool:
        """Take a file out of use and remove it when nobody has it open any more, now or by a later `sweep_leaving`.

        The rename decides: who publishes at the same time either was first or finds no file. The mark only tells;
        what has FAILED keeps saying so.
        """
        left = self._leaving / f"{path.name}.{secrets.token_hex(4)}"
        try:
            path.rename(left)
        except FileNotFoundError:
            return False
        with contextlib.suppress(FileNotFoundError):
            left.chmod(Mark.FAILED if was is Mark.FAILED else Mark.LEFT)
            _remove_if_unused(left)
        return True

    def is_orphan(self, path: Path) -> bool:
        """Whether no living process fills this file."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return become_filler(fd)
        finally:
            os.close(fd)

    def retire_orphan(self, path: Path) -> bool:
        """Take a fill out of use that no living process fills; whether there was one. Who comes late finds it gone."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if not (become_filler(fd) and is_at(fd, path) and self.retire(path)):
                return False
        finally:
            os.close(fd)
        self.drop_lone_sums(path.name.rpartition(".")[0])
        return True

    def drop_lone_sums(self, key: str) -> None:
        """Sums without an entry are of a filler that was killed before the rename; while there is a fill, of that.

        In this order: a fill that is gone has become an entry, or nothing.
        """
        if not self.fills_of(key) and not self.has_entry(key):
            self.sums_path(key).unlink(missing_ok=True)

    def sweep_leaving(self) -> int:
        """Remove what nobody reads any more; the bytes that are still there."""
        rest_bytes = 0
        for path in list(self._leaving.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                size_bytes = path.stat().st_size
                if not _remove_if_unused(path):
                    rest_bytes += size_bytes
        return rest_bytes

    def quarantine_entry(self, key: str) -> None:
        """Take a damaged entry out of service but keep its bytes for the operator, as long as there is room."""
        suffix = secrets.token_hex(4)
        with contextlib.suppress(FileNotFoundError):
            kept = self._quarantine / f"{key}.{suffix}"
            self.entry_path(key).rename(kept)
            kept.chmod(Mark.FAILED)  # who reads it now is cut before its end
        with contextlib.suppress(FileNotFoundError):
            self.sums_path(key).rename(self._quarantine / f"{key}.{suffix}{SUMS}")

    def quarantined_bytes(self) -> int:
        return _bytes_in(self._quarantine)

    def empty_quarantine(self) -> None:
        for path in list(self._quarantine.iterdir()):
            self.retire(path)

    def quarantine_index(self) -> None:
        """Take a damaged index out of service. What it knew of the order of use is lost."""
        suffix = secrets.token_hex(4)
        for path in self.root.glob(f"{self.index_path.name}*"):  # with its -wal and -shm
            path.rename(self._quarantine / f"{path.name}.{suffix}")


def _remove_if_unused(path: Path) -> bool:
    """Unlink a file unless some process reads or fills it; whether it is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        if become_remover(fd) and become_filler(fd):
            path.unlink(missing_ok=True)
            return True
        return False
    finally:
        os.close(fd)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in list(folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
