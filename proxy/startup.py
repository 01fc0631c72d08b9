"""What may keep Glint from starting, and how it is told; and what a start leaves behind."""

import gc

from cache import CacheError
from proxy.imports.plugins import ProgramMissing
from proxy.listening import CannotListen
from proxy.operator_files import FileBroken
from proxy.transfer import NoSuchAlgorithm
from upstream.errors import UpstreamError
from upstream.registry import RegistryMisconfigured

_YOUNG_MAX = 10_000


class WorkerFailed(Exception):
    """A worker could not start; the message is the worker's own."""


# What an operator can mend; anything else deserves its traceback.
STARTUP_ERRORS = (
    CannotListen,
    NoSuchAlgorithm,
    FileBroken,
    ProgramMissing,
    RegistryMisconfigured,
    WorkerFailed,
    CacheError,
    UpstreamError,
    OSError,
)


def cause_of(error: BaseException) -> BaseException:
    """What happened, without the task groups it came through. Several causes at once stay a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def spare_the_collector() -> None:
    """What a start leaves stays to the end: walking it again and again would hold the loop for tens of milliseconds.

    And a request leaves little that only the collector can free: it need not look after each few hundred objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_MAX, *gc.get_threshold()[1:])
