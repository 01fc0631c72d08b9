"""Glint as the benches run it: its own process, made configuration, a directory of its own."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.content import Content
from tests.glint import Glint
from tests.peers import PASSWORD, Keystone, Memcached

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom Glint asks about tokens."""

    keystone: Keystone
    memcached: Memcached


def glint_process(
    directory: Path, *, identity: Identity | None = None, settings: Mapping[str, Any] | None = None
) -> Glint:
    """`glint serve` of this working copy, as an operator would run it. Without `identity` everybody is admin."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {
        **(settings or {}),
        "server.drain_s": 0,
        "cache.size_max": "20 GiB",
        "logging": {"level": "info", "format": "json"},
    }
    if identity is not None:
        keystone = {"auth_url": identity.keystone.url, "username": "glance", "password": PASSWORD}
        settings["auth"] = {"kind": "keystone", "keystone": keystone}
        settings["token_cache"] = {"memcached_servers": [identity.memcached.address], "secret_key": "bench"}
    return Glint(directory, settings, stop_s=5, forks_workers=False)


class Images:
    """The few calls of the Images API by which benches make their images; Glance and Glint answer alike."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self._port = port
        self._headers = {"X-Auth-Token": token} if token else {}

    def create(self, name: str, **fields: Any) -> str:
        document = {"name": name, "disk_format": "raw", "container_format": "bare", **fields}
        return str(json.loads(self._call("POST", "/v2/images", document, 201))["id"])

    def register(self, name: str, url: str, digest: str | None, algorithm: str = "sha512") -> str:
        """An image whose bytes lie behind `url`; the digest is what they must have, None: nothing is compared."""
        image_id = self.create(name)
        stated = {"validation_data": {"os_hash_algo": algorithm, "os_hash_value": digest}} if digest else {}
        self._call("POST", f"/v2/images/{image_id}/locations", {"url": url, **stated}, 202)
        return image_id

    def upload(self, image_id: str, content: Content) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        try:
            headers = self._headers | {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(content.size_bytes),
            }
            connection.request("PUT", file_path(image_id), body=content.pieces(), headers=headers)
            answer = connection.getresponse()
            _check(answer.status, 204, answer.read())
        finally:
            connection.close()

    def download(self, image_id: str) -> None:
        """All of it, however it is framed: what Glance has to fetch into its image cache comes without a length."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        try:
            connection.request("GET", file_path(image_id), headers=self._headers)
            answer = connection.getresponse()
            while answer.read(_PIECE_BYTES):
                pass
            _check(answer.status, 200, b"")
        finally:
            connection.close()

    def show(self, image_id: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._call("GET", f"/v2/images/{image_id}", None, 200))
        return document

    def _call(self, method: str, path: str, document: object, status: int) -> bytes:
        got, body = _call(self._port, method, path, self._headers, document)
        _check(got, status, body)
        return body


def file_path(image_id: str) -> str:
    return f"/v2/images/{image_id}/file"


def _check(got: int, wanted: int, body: bytes) -> None:
    if got != wanted:
        raise RuntimeError(f"answered {got} in place of {wanted}: {body[:400]!r}")


def _call(
    port: int, method: str, path: str, headers: Mapping[str, str] | None = None, document: object = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = None if document is None else json.dumps(document)
        content_type = {} if document is None else {"Content-Type": "application/json"}
        connection.request(method, path, body, {**(headers or {}), **content_type})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
