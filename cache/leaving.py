"""How files leave the cache's folder: at once, once nobody reads them any more, or into quarantine. It blocks."""

import contextlib
import os
import secrets
from pathlib import Path

from cache.files import (
    Mark,
    become_filler,
    become_remover,
    has_filler,
    is_at,
    is_open_elsewhere,
    look,
    set_mark,
    stop_filling,
)
from cache.layout import SUMS, Layout
from cache.types import MIB

# What a filler may still write of a file that was taken from it: it may have asked, and been stopped before the call.
_IN_HAND_BYTES = 8 * MIB


class Leaving(Layout):
    """The part of a `Folder` that takes files out of use."""

    def take_unread(self, key: str) -> int | None:
        """The descriptor of an entry that nobody reads and nobody can begin to read; None if somebody does.

        The caller removes the entry, or closes the descriptor. Raises FileNotFoundError.
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

    def remove_entry(self, key: str, taken: int) -> None:
        """Remove the entry that was had by `take_unread`, and its sums, and close `taken`. Raises OSError.

        By way of leaving/, where it counts as long as it is there, whoever is stopped meanwhile and whoever forgets its
        row. It may be gone by now, and another one be there, which somebody reads: that one stays in leaving/.
        """
        entry, left = self.entry_path(key), self._leaving / f"{key}.{secrets.token_hex(4)}"
        try:
            if is_at(taken, entry):
                try:
                    entry.rename(left)
                except FileNotFoundError:
                    pass
                except OSError:  # a full disk may have no room for another name
                    entry.unlink(missing_ok=True)
                self.sums_path(key).unlink(missing_ok=True)
        finally:
            os.close(taken)
        _rest_bytes(left)

    def retire_entry(self, key: str) -> bool:
        """Take an entry out of use; who reads it finishes. Whether there was one. Raises OSError."""
        if not self.retire(self.entry_path(key)):
            return False
        self.sums_path(key).unlink(missing_ok=True)
        return True

    def retire_fill(self, path: Path, fd: int) -> None:
        """The same for the fill that is open as `fd`, by its filler, who gives back his lock. Raises OSError.

        Of one that another process has gone round, the name may be a new fill's.
        """
        if is_at(fd, path) and self.retire(path, look(fd).mark, filler=fd):
            self.drop_lone_sums(path.name.rpartition(".")[0])
        stop_filling(fd)

    def retire(self, path: Path, was: Mark = Mark.LEFT, filler: int | None = None) -> bool:
        """Take a file out of use and remove it when nobody has it open any more, now or by a later `sweep_leaving`.

        The rename decides: who publishes at the same time either was first or finds no file. The mark only tells;
        what has FAILED keeps saying so. `filler` is its descriptor if its own filler does this: his lock is given back
        as soon as the mark stands there, since what another may still write is counted as long as he has it.
        """
        left = self._leaving / f"{path.name}.{secrets.token_hex(4)}"
        try:
            path.rename(left)
        except FileNotFoundError:
            return False
        mark = Mark.FAILED if was is Mark.FAILED else Mark.LEFT
        if filler is not None:
            set_mark(filler, mark)
            stop_filling(filler)
        with contextlib.suppress(FileNotFoundError):
            if filler is None:
                left.chmod(mark)
            _rest_bytes(left)
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
        """Remove what nobody reads any more; the bytes that are still there, or may be in a moment."""
        return sum(map(_rest_bytes, list(self._leaving.iterdir())))

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


def _rest_bytes(path: Path) -> int:
    """Unlink a file that is out of use unless some process has it open; the bytes that are left to count.

    Also those of who opened it under its old name and has not yet found out: he may be stopped before he does.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return 0
    except BlockingIOError:  # another process is about to remove it
        return _size_bytes(path)
    try:
        if has_filler(fd):
            if look(fd).mark is not Mark.FAILED:  # who took it away may have been killed before he said so
                set_mark(fd, Mark.LEFT)
            return os.fstat(fd).st_size + _IN_HAND_BYTES
        if not become_remover(fd) or is_open_elsewhere(fd):
            return os.fstat(fd).st_size
    finally:
        os.close(fd)
    # Nobody opens it any more, nor do we have it open: stopped now, we keep no bytes that have no name.
    path.unlink(missing_ok=True)
    return 0


def _bytes_in(folder: Path) -> int:
    return sum(map(_size_bytes, list(folder.iterdir())))


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
