"""Clients that read and write without ever repeating a request, and a balancer that they ask where to send it.

Each client alone writes its images, and keeps what they may be: what was acknowledged is so, what was answered by 503
either happened or did not, and nothing happened in part.
"""

import http.client
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.content import KIB, Noise
from tests.glint import Answer, Glint

_CHECK_EVERY_S = 0.05
_PIECES = 6
_KINDS = {"PATCH": "application/openstack-images-v2.1-json-patch"}


class Balancer:
    """Round robin over the Glints whose last health check was answered by 200."""

    def __init__(self, glints: Sequence[Glint]) -> None:
        self._glints = glints
        self._lives = dict.fromkeys(range(len(glints)), 1)  # odd while it is healthy; connections belong to one life
        self._turn = 0
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(number,)) for number in self._lives]

    def next(self) -> tuple[int, int, Glint]:
        """A healthy Glint, its number, and the number of its life."""
        while True:
            for _ in self._glints:
                self._turn += 1
                number = self._turn % len(self._glints)
                if (life := self._lives[number]) % 2:
                    return number, life, self._glints[number]
            time.sleep(0.01)

    def is_healthy(self, glint: Glint) -> bool:
        return bool(self._lives[self._glints.index(glint)] % 2)

    def _watch(self, number: int) -> None:
        while not self._stopping.wait(_CHECK_EVERY_S):
            if self._answers(self._glints[number]) != bool(self._lives[number] % 2):
                self._lives[number] += 1

    def _answers(self, glint: Glint) -> bool:
        try:
            return glint.request("GET", "/healthcheck", timeout_s=2).status == 200
        except (OSError, http.client.HTTPException):
            return False

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()


@dataclass(slots=True)
class Tracked:
    """What one image may be. `numbers` are those that its two properties may have, both the same."""

    id: str
    numbers: set[int] = field(default_factory=lambda: {0})
    tags: dict[str, bool | None] = field(default_factory=dict)  # None: it may be there
    data: Noise | None = None
    has_data: bool | None = False  # None: perhaps
    exists: bool | None = True


class Client:
    """One thread's work. `failures` are answers that there must not be; `refused` counts those by 503."""

    def __init__(self, number: int, balancer: Balancer, *, may_be_refused: bool) -> None:
        self._random = random.Random(number)
        self._balancer, self._may_be_refused = balancer, may_be_refused
        self._connections: dict[tuple[int, int], http.client.HTTPConnection] = {}
        self._seed = number * 1000
        self.images: list[Tracked] = []
        self.failures: list[str] = []
        self.done: Counter[str] = Counter()
        self.by_glint: Counter[int] = Counter()
        self.refused = 0

    def run(self, stopping: threading.Event) -> None:
        kinds = (self._create, self._patch, self._patch, self._tag, self._upload, self._show, self._download)
        while not stopping.is_set():
            act = self._random.choice(kinds if self.images else (self._create,))
            try:
                act()
            except Exception as error:  # noqa: BLE001 - each is a request that failed
                self.failures.append(f"{act.__name__}: {type(error).__name__}: {error}")
            if self._random.random() < 0.05 and self.images:
                self._delete()
        for connection in self._connections.values():
            connection.close()

    def ask(self, method: str, path: str, body: Any = None, *, slow: bool = False) -> Answer:
        number, life, glint = self._balancer.next()
        connection = self._connections.pop((number, life), None) or http.client.HTTPConnection(
            "127.0.0.1", glint.port, timeout=60
        )
        answer = _exchange(connection, method, path, body, pause_s=0.1 if slow else 0.0)
        if answer.headers.get("Connection") == "close":
            connection.close()
        else:
            self._connections[number, life] = connection
        self.by_glint[number] += 1
        return answer

    def _outcome(self, what: str, answer: Answer, *right: int) -> bool | None:
        """Whether it was done; None if nobody knows."""
        if answer.status in right:
            self.done[what] += 1
            return True
        if answer.status == 503 and self._may_be_refused:
            self.refused += 1
            return None
        self.failures.append(f"{what}: {answer.status} {answer.content[:300]!r}")
        return False

    def _create(self) -> None:
        image = Tracked(str(uuid.uuid4()), tags={"first": True, "second": True})
        fields = {"id": image.id, "disk_format": "raw", "container_format": "bare", "tags": sorted(image.tags)}
        answer = self.ask("POST", "/v2/images", fields | {"one": "0", "two": "0"})
        if (done := self._outcome("create", answer, 201)) is not False:
            image.exists = done
            self.images.append(image)

    def _patch(self) -> None:
        image = self._any()
        number = max(image.numbers) + 1
        changes = [{"op": "replace", "path": f"/{name}", "value": str(number)} for name in ("one", "two")]
        done = self._outcome("patch", self.ask("PATCH", f"/v2/images/{image.id}", changes), 200)
        if done is not False:
            image.numbers = {number} if done else image.numbers | {number}

    def _tag(self) -> None:
        image = self._any()
        name = self._random.choice(("first", "second", "third"))
        if image.tags.get(name) is False or name not in image.tags:
            image.tags[name] = self._outcome("tag", self.ask("PUT", f"/v2/images/{image.id}/tags/{name}"), 204)
        elif image.tags[name]:
            done = self._outcome("untag", self.ask("DELETE", f"/v2/images/{image.id}/tags/{name}"), 204)
            image.tags[name] = None if done is None else False

    def _upload(self) -> None:
        image = self._any()
        if image.data is not None:
            return
        self._seed += 1
        image.data = Noise(self._random.randrange(1, 600 * KIB), seed=self._seed)
        slow = self._random.random() < 0.4
        answer = self.ask("PUT", f"/v2/images/{image.id}/file", image.data.read(), slow=slow)
        image.has_data = self._outcome("upload slowly" if slow else "upload", answer, 204)

    def _show(self) -> None:
        image = self._any()
        answer = self.ask("GET", f"/v2/images/{image.id}")
        if self._outcome("show", answer, 200):
            self.failures += wrong(image, answer.json)

    def _download(self) -> None:
        with_data = [image for image in self.images if image.exists and image.has_data]
        if not with_data:
            return
        image = self._random.choice(with_data)
        slow = self._random.random() < 0.4
        answer = self.ask("GET", f"/v2/images/{image.id}/file", slow=slow)
        assert image.data is not None
        got = self._outcome("download slowly" if slow else "download", answer, 200)
        if got and answer.content != image.data.read():
            self.failures.append(f"download of {image.id}: {len(answer.content)} wrong bytes")

    def _delete(self) -> None:
        image = self._any()
        try:
            done = self._outcome("delete", self.ask("DELETE", f"/v2/images/{image.id}"), 204)
        except Exception as error:  # noqa: BLE001 - each is a request that failed
            self.failures.append(f"delete: {type(error).__name__}: {error}")
        else:
            image.exists = None if done is None else False

    def _any(self) -> Tracked:
        """One that is certainly there; made now, if there is none."""
        there = [image for image in self.images if image.exists]
        while not there:
            self._create()
            there = [image for image in self.images if image.exists]
        return self._random.choice(there)


def _exchange(connection: http.client.HTTPConnection, method: str, path: str, body: Any, *, pause_s: float) -> Answer:
    """Send and read in `_PIECES` parts each, with a pause after each part."""
    kind = "application/octet-stream" if isinstance(body, bytes) else _KINDS.get(method, "application/json")
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"Content-Type": kind, "Content-Length": str(len(data))}
    connection.request(method, path, _paused(data, pause_s), sent)
    response = connection.getresponse()
    got = []
    while piece := response.read(max(1, (response.length or 0) // _PIECES)):
        got.append(piece)
        time.sleep(pause_s)
    return Answer(response.status, response.headers, b"".join(got))


def _paused(data: bytes, pause_s: float) -> Iterator[bytes]:
    step = max(1, -(-len(data) // _PIECES))
    for at in range(0, len(data), step):
        yield data[at : at + step]
        time.sleep(pause_s)


def wrong(image: Tracked, shown: Any) -> list[str]:
    """How an image is not what it may be. An upload that nobody knows of may still be on its way."""
    found = []
    if shown["one"] != shown["two"] or int(shown["one"]) not in image.numbers:
        found.append(f"{image.id}: {shown['one']} and {shown['two']} in place of both one of {image.numbers}")
    for tag, there in image.tags.items():
        if there is not None and (tag in shown["tags"]) != there:
            found.append(f"{image.id}: tag {tag}: {there} was acknowledged, there are {shown['tags']}")
    if image.has_data is not None and (shown["status"] == "active") != image.has_data:
        found.append(f"{image.id}: data: {image.has_data}, status {shown['status']}")
    return found


@contextmanager
def under_load(clients: Sequence[Client]) -> Iterator[None]:
    """All of them at work until the context is left; then all have ended."""
    stopping = threading.Event()
    threads = [threading.Thread(target=client.run, args=(stopping,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def left_wrong(clients: Sequence[Client], glint: Glint) -> list[str]:
    """What a Glint shows, in the end, that is not what the clients' images may be, bytes included."""
    return [text for client in clients for image in client.images for text in _left_wrong(image, glint)]


def _left_wrong(image: Tracked, glint: Glint) -> list[str]:
    answer = glint.get(f"/v2/images/{image.id}")
    if answer.status == 404:
        return [f"{image.id} is gone"] if image.exists else []
    if answer.status != 200 or image.exists is False:
        return [f"{image.id}: {answer.status}, though deleted"]
    found = wrong(image, answer.json)
    if answer.json["status"] not in {"active", "queued"}:
        found.append(f"{image.id} was left {answer.json['status']}")
    if answer.json["status"] == "active":
        assert image.data is not None
        if glint.get(f"/v2/images/{image.id}/file").content != image.data.read():
            found.append(f"{image.id} has wrong data")
    return found
