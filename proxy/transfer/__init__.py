from proxy.transfer.errors import ClientGone, FileShort, NoSuchAlgorithm
from proxy.transfer.sender import Sender

__all__ = ["ClientGone", "FileShort", "NoSuchAlgorithm", "Sender"]
