"""What Ceph's bindings raise, in our terms. Their messages name images and pools, so none of them is passed on."""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from upstream.errors import Conflict, DataNotFound, Denied, Invalid, StoreFull, Unavailable, UpstreamError

BROKEN = frozenset({errno.ESHUTDOWN, errno.ENOTCONN})
"""The connection is of no use any more: shut down, or the cluster bars it."""


_BAD_NAME = frozenset({errno.EINVAL, errno.ENAMETOOLONG})


def _denied(service: str, what: str) -> Denied:
    return Denied(f"{service} does not let its user {what}")


def _busy(service: str, _: str) -> Conflict:
    return Conflict(f"the image's data in {service} are in use")


def _full(service: str, _: str) -> StoreFull:
    return StoreFull(f"{service} is full")


_ERRORS: Mapping[int, Callable[[str, str], UpstreamError]] = {
    errno.ENOENT: lambda service, _: DataNotFound(service),
    **dict.fromkeys((errno.EPERM, errno.EACCES, errno.EROFS), _denied),
    **dict.fromkeys((errno.EBUSY, errno.ENOTEMPTY), _busy),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _full),
}


def errno_of(error: BaseException) -> int:
    """Without its sign, which differs between the bindings' classes; 0 if it has none."""
    number = getattr(error, "errno", None)
    return abs(number) if isinstance(number, int) else 0


@contextmanager
def translated(service: str, what: str) -> Iterator[None]:
    """`what` was being done, for the message. Our own errors pass."""
    try:
        yield
    except UpstreamError:
        raise
    except Exception as error:
        raise translate(service, what, error) from error


def translate(service: str, what: str, error: Exception) -> UpstreamError:
    number = errno_of(error)
    if number in _BAD_NAME and what == "open an image":
        return Invalid(f"{service} cannot open an image of that name")
    if number == errno.ETIMEDOUT:
        return Unavailable(service, f"it did not {what} in time")
    if known := _ERRORS.get(number):
        return known(service, what)
    return Unavailable(service, f"it could not {what}: {errno.errorcode.get(number, type(error).__name__)}")
