"""The few calls by which a test looks into a Swift, past the store that it tests."""

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

CHECK = "up-check"


class SwiftFailed(Exception):
    """Swift refused a call."""

    def __init__(self, method: str, path: str, status: int) -> None:
        super().__init__(f"{method} {path}: {status}")
        self.status = status


class SwiftApi:
    """Plain HTTP as the account's administrator, one connection per call. Raises SwiftFailed and OSError."""

    def __init__(self, port: int, new_token: Callable[[], str]) -> None:
        self.account = ""
        self._port, self._new_token = port, new_token
        self._token = ""

    def containers(self) -> list[str]:
        return [row["name"] for row in self._rows("")]

    def names(self, container: str) -> list[str]:
        """All that lies in the container, in order: images, manifests and segments. Empty if there is no container."""
        return [row["name"] for row in self._rows(quote(container))]

    def make_container(self, name: str) -> None:
        self.call("PUT", quote(name))

    def get(self, container: str, name: str) -> bytes:
        return self.call("GET", self._path(container, name))[1]

    def put(self, container: str, name: str, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.call("PUT", self._path(container, name), content, headers)

    def delete(self, container: str, name: str) -> None:
        """One object; of a large one the manifest alone."""
        self.call("DELETE", self._path(container, name))

    def headers(self, container: str, name: str) -> http.client.HTTPMessage:
        return self.call("HEAD", self._path(container, name))[0]

    def empty(self, container: str) -> None:
        for name in self.names(container):
            self.delete(container, name)

    def is_writable(self) -> bool:
        """Whether all its servers work."""
        try:
            self.make_container(CHECK)
            self.put(CHECK, CHECK, b"")
            self.delete(CHECK, CHECK)
            self.call("DELETE", CHECK)
        except SwiftFailed:
            return False
        return True

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPMessage, bytes]:
        """`path` is below the account's URL, and quoted. A token that does not count any more is replaced."""
        whole = f"/v1/{self.account}/{path}".rstrip("/")
        for again in (True, False):
            self._token = self._token or self._new_token()
            try:
                return self.plain(method, whole, body, {"X-Auth-Token": self._token, **(headers or {})})
            except SwiftFailed as error:
                if error.status != 401 or not again:
                    raise
                self._token = ""
        raise AssertionError("unreachable")

    def plain(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise SwiftFailed(method, path, answer.status)
        return answer.headers, content

    def _rows(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            marker = f"&marker={quote(rows[-1]['name'], safe='')}" if rows else ""
            try:
                page = json.loads(self.call("GET", f"{path}?format=json{marker}")[1] or b"[]")
            except SwiftFailed as error:
                if error.status == 404:
                    return []
                raise
            if not page:
                return rows
            rows += page

    @staticmethod
    def _path(container: str, name: str) -> str:
        return f"{quote(container)}/{quote(name)}"
