"""One worker's hold on one blob: an entry, a fill that it follows, or one that it runs. All its clients share it."""

import asyncio
import os
from enum import Enum, auto

from cache.claims import Claim, Role
from cache.files import Mark, is_same, look
from cache.progress import Progress
from cache.range_policy import FillRate
from cache.types import Blob, Outcome, Purpose, Source


class Part(Enum):
    """What this worker does for the blob."""

    LOOKING = auto()
    READING = auto()  # a whole entry
    FOLLOWING = auto()
    FILLING = auto()


class Flight:
    """Readers watch `progress` and read by `fd`, whose number stays while the file behind it may be changed.

    `located` is set when it is known what there is, `ended` when this worker does nothing more for the blob;
    `is_stored` then tells whether there is an entry on disk.
    """

    def __init__(self, blob: Blob, source: Source, *, may_fill: bool) -> None:
        assert blob.size_bytes is not None
        self.blob, self.source, self.may_fill = blob, source, may_fill
        self.purpose: Purpose = "demand"
        self.is_demanded = asyncio.Event()  # since it was begun for another purpose
        self.size_bytes = blob.size_bytes
        self.progress = Progress(blob.size_bytes)
        self.rate = FillRate()
        self.part = Part.LOOKING
        self.outcome = Outcome.MISS  # of the request that began it; known when it is located
        self.fd: int | None = None
        self.readers = 0
        self.located, self.ended = asyncio.Event(), asyncio.Event()
        self.is_stored = False
        self.is_wanted_on_disk = False  # somebody waits for the entry, not only for the bytes
        self.failure: Exception | None = None  # also of what came after the last byte had been released
        self.is_spoilt = False  # its file turned out to be damaged
        self.is_unwanted = False  # its last reader left, and the fill is not to go on without him

    @property
    def is_current(self) -> bool:
        """Whether somebody new may join: not once its file is out of use, here or by another process."""
        if self.is_spoilt or self.progress.error is not None:
            return False
        if self.fd is None:
            return True
        seen = look(self.fd)
        if seen.mark is Mark.FAILED:  # of an entry, that may be before who filled it has written its row
            return False
        return not self.progress.is_finished or (seen.is_linked and seen.mark is not Mark.LEFT)

    @property
    def is_condemned(self) -> bool:
        """Whether the file was found to hold wrong bytes, by this process or another."""
        return self.fd is not None and look(self.fd).mark is Mark.FAILED

    def locate(self, claim: Claim) -> None:
        """The claim's file is this flight's, if it has none yet. Called again when the fill changes hands."""
        if self.fd is None:
            self.fd = claim.fd
        self.part = {Role.READER: Part.READING, Role.FOLLOWER: Part.FOLLOWING, Role.FILLER: Part.FILLING}[claim.role]
        if not self.located.is_set():
            by_role = {Role.READER: Outcome.HIT, Role.FOLLOWER: Outcome.JOIN, Role.FILLER: Outcome.MISS}
            self.outcome = by_role[claim.role]
            self.located.set()

    def switch(self, fd: int) -> None:
        """Go on with another file of the same blob, which holds at least as much. The caller closes `fd` later."""
        assert self.fd is not None
        if not is_same(fd, self.fd):
            os.dup2(fd, self.fd, inheritable=False)  # the locks are the open file's: they come along

    def read_whole(self) -> None:
        """The file is whole: everything may be sent. Readers who were sent away, or have it all, need not be told."""
        if self.progress.has_ended:
            return
        self.progress.open()
        self.progress.advance(self.size_bytes)
        self.progress.finish()

    def want(self, purpose: Purpose) -> None:
        """From here on this is why the blob is read."""
        self.purpose = purpose
        self.source.wanted_for(purpose)
        if purpose == "demand":
            self.is_demanded.set()

    def join(self) -> None:
        self.readers += 1

    def leave(self) -> None:
        assert self.readers > 0
        self.readers -= 1
        self._close_if_unused()

    def end(self) -> None:
        """Nothing more will be done. The descriptor goes with the last reader."""
        self.located.set()
        self.ended.set()
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self.fd is not None and self.readers == 0 and self.ended.is_set():
            fd, self.fd = self.fd, None
            os.close(fd)
