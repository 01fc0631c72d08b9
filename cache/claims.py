"""One file for one key: who opens it gets to know whether he reads, follows or fills. All of it blocks."""

import os
import time
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from cache.files import Mark, become_filler, become_reader, is_at, look, stop_filling
from cache.layout import number_of
from cache.leaving import Leaving

_CLAIM_TRIES = 100  # each is lost to another process that is in the midst of something
_CLAIM_PAUSE_S = 0.01


class Role(Enum):
    """What a worker is to a file that it opened."""

    READER = auto()  # of an entry
    FOLLOWER = auto()  # of a fill that another process runs
    FILLER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A file opened for one key, under the reader's lock, and the filler's if that is the role. Who has it closes it.

    `size_bytes` are in it already: of a filler who goes on where another ended.
    """

    role: Role
    path: Path
    fd: int
    size_bytes: int


class Claims(Leaving):
    """The part of a `Folder` that finds, or makes, the file of a key."""

    def find(self, key: str, size_bytes: int) -> Claim | None:
        """The entry, or the fill that runs in another process or has lost its own. Raises OSError."""
        for _ in range(_CLAIM_TRIES):
            entry = self._open_entry(key, size_bytes)
            if entry is not None:
                return entry
            path = self.newest_fill(key)
            if path is None:
                return None
            claim = self._open_fill(key, size_bytes, path, os.O_RDWR)
            if claim is not None:
                return claim
            time.sleep(_CLAIM_PAUSE_S)
        raise OSError(f"{key} was taken away {_CLAIM_TRIES} times")

    def claim(self, key: str, size_bytes: int) -> Claim:
        """The same, and where there is nothing yet, a new fill. Raises OSError."""
        for _ in range(_CLAIM_TRIES):
            found = self.find(key, size_bytes)
            if found is not None:
                return found
            claim = self._open_fill(key, size_bytes, self._fills / f"{key}.1", os.O_RDWR | os.O_CREAT)
            if claim is not None:
                return claim
            time.sleep(_CLAIM_PAUSE_S)  # an entry that is being removed takes as long as its unlink
        raise OSError(f"{key} was taken away {_CLAIM_TRIES} times")

    def is_growing(self, claim: Claim) -> bool:
        """Whether a fill whose lock was got is still to be filled. If not, the lock is given back."""
        if is_at(claim.fd, claim.path):
            return True
        stop_filling(claim.fd)
        return False

    def supersede(self, key: str, size_bytes: int, stalled: Path) -> Claim | None:
        """Begin the next file of a fill whose filler hangs; None if another process was faster, or it has published.

        From then on the old filler can neither publish, since its name is gone, nor harm: its file is another one.
        """
        number = int(stalled.name.rpartition(".")[2]) + 1
        try:
            path = self._fills / f"{key}.{number}"
            claim = self._open_fill(key, size_bytes, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return None
        if claim is not None and claim.role is not Role.FILLER:  # another one had its lock first
            os.close(claim.fd)
            return None
        return claim

    def _open_fill(self, key: str, size_bytes: int, path: Path, flags: int) -> Claim | None:
        """None if the file went away while it was opened: then all has to be looked up again."""
        try:
            fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            if not become_reader(fd):
                return None
            is_filler = become_filler(fd)
            if not is_at(fd, path):
                return None
            if (mark := look(fd).mark) in (Mark.LEFT, Mark.FAILED):
                self.retire(path, mark)  # whoever ended it could not, or has not yet
                return None
            if is_filler and not self._is_alone(key, size_bytes, path):
                return None
            role = Role.FILLER if is_filler else Role.FOLLOWER
            claim = Claim(role=role, path=path, fd=fd, size_bytes=os.fstat(fd).st_size)
            fd = -1
            return claim
        finally:
            if fd >= 0:
                os.close(fd)

    def _is_alone(self, key: str, size_bytes: int, path: Path) -> bool:
        """Whether a new filler is the only one of its key: others, that hang, are sent away here.

        An entry may have been published between our look for one and our lock; then our file is not needed.
        """
        for other in self.fills_of(key):
            if other != path and number_of(other) < number_of(path):
                self.retire(other)
        if self.has_entry(key):
            self.retire(path)
            return False
        return True

    def _open_entry(self, key: str, size_bytes: int) -> Claim | None:
        path = self.entry_path(key)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if not become_reader(fd) or not is_at(fd, path):
                return None
            found_bytes = os.fstat(fd).st_size
            if found_bytes != size_bytes:
                self.quarantine_entry(key)
                return None
            claim = Claim(role=Role.READER, path=path, fd=fd, size_bytes=size_bytes)
            fd = -1
            return claim
        finally:
            if fd >= 0:
                os.close(fd)
