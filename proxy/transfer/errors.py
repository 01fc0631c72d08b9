"""How a body can fail to be sent."""


class ClientGone(ConnectionError):
    """The client closed its side, or took no byte for too long."""


class DiskSlow(OSError):
    """The disk did not bring the next bytes in time."""


class FileShort(Exception):
    """The file ends before the bytes that were promised from it."""


class NoSuchAlgorithm(Exception):
    """The system does not have the congestion control that was asked for; the message says what it has."""
