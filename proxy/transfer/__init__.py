from proxy.transfer.congestion import begin_with
from proxy.transfer.errors import ClientGone, FileShort, NoSuchAlgorithm
from proxy.transfer.sender import Sender
from proxy.transfer.waiting import while_there

__all__ = ["ClientGone", "FileShort", "NoSuchAlgorithm", "Sender", "begin_with", "while_there"]
