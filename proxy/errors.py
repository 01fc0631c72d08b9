"""The only table from an exception to an HTTP status, and the errors the HTTP edge itself raises."""

from collections.abc import Mapping
from http import HTTPStatus

from cache import CacheError
from upstream import errors as upstream


class RequestError(Exception):
    """The client asked for something that cannot be. The message says what was wrong and what would be right."""


class BadRequest(RequestError):
    """Malformed body, unknown parameter, value out of bounds."""


class Forbidden(RequestError):
    """The policy, or a rule that no policy can lift, says no."""


class NoSuchResource(RequestError):
    """No route has this path."""


class MethodNotAllowed(RequestError):
    """The path exists, the method does not; `allowed` are those that do, for the header Allow."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"The method {method} is not allowed for this resource.")
        self.allowed = allowed


class MethodUnknown(RequestError):
    """A method that no resource of this API has."""


class StateConflict(RequestError):
    """What was asked does not fit what the image is now."""


class UnsupportedMediaType(RequestError):
    """`accepted` are the types that would be right; for PATCH they go into Accept-Patch."""

    def __init__(self, message: str, accepted: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.accepted = accepted


class RangeNotSatisfiable(RequestError):
    """The range starts at or after the end, or cannot be read. `size_bytes` of the image goes into Content-Range."""

    def __init__(self, message: str, size_bytes: int | None = None) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class Gone(RequestError):
    """The image went away while its data came in."""


class TooLarge(RequestError):
    """The body passes a limit."""


STATUS: Mapping[type[Exception], HTTPStatus] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
    Forbidden: HTTPStatus.FORBIDDEN,
    NoSuchResource: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    MethodUnknown: HTTPStatus.NOT_IMPLEMENTED,
    StateConflict: HTTPStatus.CONFLICT,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RangeNotSatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    Gone: HTTPStatus.GONE,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    upstream.NotFound: HTTPStatus.NOT_FOUND,
    upstream.DataNotFound: HTTPStatus.NO_CONTENT,
    upstream.Denied: HTTPStatus.SERVICE_UNAVAILABLE,
    upstream.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    upstream.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    upstream.NotAsked: HTTPStatus.SERVICE_UNAVAILABLE,
    upstream.Unreachable: HTTPStatus.GATEWAY_TIMEOUT,
    upstream.BrokenAnswer: HTTPStatus.BAD_GATEWAY,
    upstream.Unproved: HTTPStatus.SERVICE_UNAVAILABLE,
    upstream.Duplicate: HTTPStatus.CONFLICT,
    upstream.Conflict: HTTPStatus.CONFLICT,
    upstream.Invalid: HTTPStatus.BAD_REQUEST,
    upstream.LimitExceeded: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    upstream.NotSupported: HTTPStatus.BAD_REQUEST,
    upstream.StoreFull: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    upstream.WrongLength: HTTPStatus.SERVICE_UNAVAILABLE,
    CacheError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: Exception) -> HTTPStatus | None:
    """The row of the error's class or of its nearest base; None for what nobody expected."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)
