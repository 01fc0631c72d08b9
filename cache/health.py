"""Whether the cache's disk is fit for use. A pure core: no clock, no disk; times are monotonic seconds.

Three faults within a minute, or one operation that hangs, and the disk is UNSTABLE: the cache is gone round, and
single probes ask whether it got well. It did when, since the last fault, a minute has passed and 60 operations were
clean: 60 clean operations alone could all be of one good second between two bad ones. What stays unstable for half an
hour is DOWN: asked less often, and back by the same proof, which takes longer with fewer probes.

A cache folder that the disk does not let open is UNSTABLE, and DOWN, likewise. It is not probed, since each try to open
it is a probe; the one that succeeds is the proof.
"""

import errno
import sqlite3
from collections import deque
from enum import IntEnum

FAULTS_MAX = 3  # so many ...
FAULT_WINDOW_S = 60.0  # ... within this make a disk unstable
HANG_S = 30.0  # an operation that takes longer hangs
CLEAN_OPERATIONS_MIN = 60
CLEAN_S = 60.0
DOWN_AFTER_S = 30 * 60.0
UNSTABLE_PROBE_PAUSE_S = 6.0  # at most 10 probes in any minute
DOWN_PROBE_PAUSE_S = 60.0

# What a block device, a file system or a file server says when it cannot do its work. A full disk, a missing file or a
# bad argument is an answer of a disk that works.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DISK_FAULTS = frozenset(
    {
        errno.EIO,
        errno.EROFS,  # what ext4 makes of itself after an error
        errno.ENXIO,
        errno.ENODEV,
        errno.EUCLEAN,  # damaged metadata
        errno.EBADMSG,  # a checksum of the file system was wrong
        errno.ENODATA,  # a sector cannot be read
        errno.EREMOTEIO,
        errno.ENOLINK,  # the path to the device is gone
        errno.ETIMEDOUT,
        errno.ESTALE,
        errno.ENOTCONN,  # the process behind a FUSE mount died
    },
)


def is_disk_fault(error: OSError) -> bool:
    """Whether the disk itself failed, rather than said no: ENOSPC and EDQUOT mean that it is full, not bad."""
    return error.errno in _DISK_FAULTS or isinstance(error, TimeoutError)


def may_pass(error: OSError | sqlite3.Error) -> bool:
    """Whether what kept the cache's folder from being opened is the disk's, and not the configuration's."""
    return isinstance(error, sqlite3.Error) or is_disk_fault(error) or error.errno in FULL


class DiskState(IntEnum):
    """The numbers are those of the metric."""

    HEALTHY = 0
    UNSTABLE = 1
    DOWN = 2


class DiskHealth:
    """Takes what happened, in the order it happened, and says what the disk is good for. Not thread-safe."""

    def __init__(self) -> None:
        self.state = DiskState.HEALTHY
        self._is_open = True
        self._faults_s: deque[float] = deque(maxlen=FAULTS_MAX)
        self._unstable_since_s = 0.0
        self._clean_operations = 0
        self._probed_s: float | None = None

    @property
    def is_usable(self) -> bool:
        return self.state is DiskState.HEALTHY

    def succeeded(self, now_s: float) -> None:
        """One operation of the disk, of a probe or of anybody, went well and in time."""
        if self.is_usable or not self._is_open:
            return
        self._clean_operations += 1
        if self._clean_operations >= CLEAN_OPERATIONS_MIN and now_s - self._faults_s[-1] >= CLEAN_S:
            self.state = DiskState.HEALTHY
            self._faults_s.clear()
        else:
            self.pass_time(now_s)

    def failed(self, now_s: float) -> None:
        """An operation failed by a fault of the disk (`is_disk_fault`)."""
        self._clean_operations = 0
        self._faults_s.append(now_s)
        is_burst = len(self._faults_s) == FAULTS_MAX and now_s - self._faults_s[0] <= FAULT_WINDOW_S
        if self.is_usable and is_burst:
            self._leave_service(now_s)
        self.pass_time(now_s)

    def hung(self, now_s: float) -> None:
        """An operation takes, or took, longer than HANG_S. Said again and again while one goes on."""
        self.failed(now_s)
        if self.is_usable:
            self._leave_service(now_s)

    def unopened(self, now_s: float) -> None:
        """The disk does not let the cache's folder be opened. Said again with each try."""
        self._is_open = False
        if self.is_usable:
            self._leave_service(now_s)
        self.pass_time(now_s)

    def opened(self) -> None:
        """It let it be opened, and written in."""
        self._is_open = True
        self.state = DiskState.HEALTHY
        self._faults_s.clear()

    def pass_time(self, now_s: float) -> None:
        """Nothing need have happened: an unstable disk is down after a while all the same."""
        if self.state is DiskState.UNSTABLE and now_s - self._unstable_since_s >= DOWN_AFTER_S:
            self.state = DiskState.DOWN

    def may_probe(self, now_s: float) -> bool:
        """Whether it is time to ask the disk. Changes nothing; who asks says so by `probed`."""
        if self.is_usable or not self._is_open:
            return False
        pause_s = UNSTABLE_PROBE_PAUSE_S if self.state is DiskState.UNSTABLE else DOWN_PROBE_PAUSE_S
        return self._probed_s is None or now_s - self._probed_s >= pause_s

    def probed(self, now_s: float) -> None:
        """A probe begins."""
        self._probed_s = now_s

    def _leave_service(self, now_s: float) -> None:
        self.state = DiskState.UNSTABLE
        self._unstable_since_s = now_s
