from proxy.transfer.sender import Sender
from proxy.transfer.sendfile import ClientGone, FileShort

__all__ = ["ClientGone", "FileShort", "Sender"]
