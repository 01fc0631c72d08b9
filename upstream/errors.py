"""What can go wrong behind us, named for what happened. HTTP appears only in proxy/errors.py."""


class UpstreamError(Exception):
    """Something behind Glint said no or said nothing."""


class NotFound(UpstreamError):
    """There is none, or none that the caller may see: which of the two is not told."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"No {kind} found with ID {name}")
        self.kind, self.name = kind, name


class DataNotFound(UpstreamError):
    """The image exists, its bytes do not: no location, or the store does not know the object."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} has no data for this image")
        self.where = where


class Denied(UpstreamError):
    """A store or registry refused our own credentials, or refuses this operation for good."""


class Unauthenticated(UpstreamError):
    """The token is missing, unknown, expired or revoked."""


class Unavailable(UpstreamError):
    """A service did not answer in time or said 5xx. Trying again may help.

    `phase`, if it was silent for too long: what was waited for, in the words of the metrics.
    """

    def __init__(
        self, service: str, reason: str = "", retry_after_s: float | None = None, *, phase: str | None = None
    ) -> None:
        super().__init__(f"{service} is unavailable" + (f": {reason}" if reason else ""))
        self.service, self.retry_after_s, self.phase = service, retry_after_s, phase


class Unproved(Unavailable):
    """A store's answer is not proved to be the part that was asked for, of the object that was begun.

    It says nothing of another part, nor of a reader who begins anew.
    """


class NotAsked(Unavailable):
    """A store that failed several times in a row: for a moment it is not asked. It says nothing of one object there."""


class Unreachable(Unavailable):
    """A host that a request has to go on to: there is no connection to it, or it broke before the answer."""


class BrokenAnswer(Unavailable):
    """A host that a request went on to was silent, or said what cannot be passed on."""


class Duplicate(UpstreamError):
    """The name or id is taken, perhaps by a deleted row: an image id is never used twice."""


class Conflict(UpstreamError):
    """The thing is in a state that does not allow this; the message names the state."""


class Invalid(UpstreamError):
    """The request names something impossible: an unknown marker, a bad location."""


class LimitExceeded(UpstreamError):
    """A quota would be passed. The message names the limit and what was asked."""


class NotSupported(UpstreamError):
    """The store cannot do this: write to a read-only store, read at an offset."""


class StoreFull(UpstreamError):
    """The store has no room for these bytes."""


class WrongLength(UpstreamError):
    """A body ended before or went on after the length that was announced for it."""

    def __init__(self, expected_bytes: int, got_bytes: int) -> None:
        super().__init__(f"expected {expected_bytes} bytes, got {got_bytes}")
        self.expected_bytes, self.got_bytes = expected_bytes, got_bytes
