from proxy.transfer.sender import Sender
from proxy.transfer.sendfile import ClientGone, FileShort, NoSuchAlgorithm

__all__ = ["ClientGone", "FileShort", "NoSuchAlgorithm", "Sender"]
