"""Sends exactly what a step says over a fresh connection: no header, retry or redirect of a library's own."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    url: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None, *, chunked: bool = False
) -> Answer:
    """Send one request. An answer that does not come, or not whole, has the status 0 and says so in its body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", parts.netloc)
        for name, value in headers.items():
            connection.putheader(name, value)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif body is not None and "Content-Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body, encode_chunked=chunked)
        response = connection.getresponse()
        return Answer(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=response.read(),
        )
    except (OSError, http.client.HTTPException) as error:
        return Answer(
            status=0, headers={"content-type": "text/plain"}, body=f"cut off: {type(error).__name__}".encode()
        )
    finally:
        connection.close()
