"""What may keep Glint from starting, and how it is told."""

from cache import CacheError
from proxy.api.image_schema import ImageSchemaBroken
from proxy.import_plugins import ProgramMissing
from proxy.listening import CannotListen
from proxy.policy import PolicyFileBroken
from proxy.property_protections import ProtectionFileBroken
from proxy.transfer import NoSuchAlgorithm
from upstream.errors import UpstreamError
from upstream.registry import RegistryMisconfigured


class WorkerFailed(Exception):
    """A worker could not start; the message is the worker's own."""


# What an operator can mend; anything else deserves its traceback.
STARTUP_ERRORS = (
    CannotListen,
    NoSuchAlgorithm,
    ImageSchemaBroken,
    PolicyFileBroken,
    ProgramMissing,
    ProtectionFileBroken,
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
