"""What client processes share: connections, requests and heads. The HTTP is the little that the servers speak."""

import hashlib
import json
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Protocol

import xxhash

SILENT_S = 60.0  # nothing from any server for so long is an error
HEAD_MAX_BYTES = 64 * 1024


class Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class BadAnswer(Exception):
    """Not what was asked for."""


def digest_of(algorithm: str) -> Digest:
    """Running; `algorithm` is "xxh3_128" or a name of hashlib."""
    made: Callable[[], Digest] = xxhash.xxh3_128 if algorithm == "xxh3_128" else getattr(hashlib, algorithm)
    return made()


def connected(host: str, port: int, receive_bytes: int = 0) -> socket.socket:
    """Not blocking from then on. `receive_bytes` bounds what the kernel takes in unread; 0: its choice."""
    connection = socket.socket()
    try:
        if receive_bytes:  # before connecting, or the window is offered already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(SILENT_S)
        connection.connect((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
    except BaseException:
        connection.close()
        raise
    return connection


def get(path: str, host: str, port: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parse_head(head: bytes) -> tuple[int, int]:
    """Status and Content-Length. Raises BadAnswer for an answer without a length: no server under test sends one."""
    low = head.lower()
    at = low.find(b"\r\ncontent-length:")
    if at < 0 or not low.startswith(b"http/1.1 "):
        raise BadAnswer(f"an answer without a length: {head[:80]!r}")
    return int(low[9:12]), int(low[at + 17 :].split(b"\r\n", 1)[0])


def tell(document: object) -> None:
    sys.stdout.write((document if isinstance(document, str) else json.dumps(document)) + "\n")
    sys.stdout.flush()
