"""The stores under contract, each with a way to put data into it: one module per kind.

A peer asks the request for the servers it needs, which the tests of a run share (tests/peers/fixtures.py).
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.contract.stores.peers.files import file_peer, folders_peer
from tests.contract.stores.peers.peer import Peer, WritablePeer, WritableStore, arriving, read_whole
from tests.contract.stores.peers.rbd import rbd_peer
from tests.contract.stores.peers.s3 import S3Peer, rgw_peer, s3_peer
from tests.contract.stores.peers.swift import SwiftPeer, keystone_swift_peer, swift_peer
from tests.contract.stores.peers.web import HttpPeer, http_peer

OpenPeer = Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[Peer]]
OpenWritable = Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[WritablePeer]]

WRITABLE: dict[str, OpenWritable] = {
    "file": file_peer,
    "folders": folders_peer,
    "rbd": rbd_peer,
    "s3": s3_peer,
    "rgw": rgw_peer,
    "swift": swift_peer,
    "keystone swift": keystone_swift_peer,
}
PEERS: dict[str, OpenPeer] = {**WRITABLE, "http": http_peer}
_LONG = frozenset({"rgw"})  # the same code as of s3 before another server; what is the server's own is in test_s3.py


def kinds(peers: Mapping[str, object]) -> list[ParameterSet]:
    """For the parameters of a fixture."""
    return [pytest.param(kind, marks=pytest.mark.long if kind in _LONG else ()) for kind in peers]


__all__ = [
    "PEERS",
    "WRITABLE",
    "HttpPeer",
    "Peer",
    "S3Peer",
    "SwiftPeer",
    "WritablePeer",
    "WritableStore",
    "arriving",
    "http_peer",
    "kinds",
    "read_whole",
    "rgw_peer",
    "s3_peer",
]
