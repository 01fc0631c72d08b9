"""What the tests of a take-over ask, of a Glance and of a Glint alike."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.parity.client import Answer, ask
from tests.parity.model import PATCH_V21
from tests.peers.identity_api import DOMAIN, PASSWORD
from tests.peers.keystone import Keystone

PERSONAS = ("admin", "demo", "alt", "other")
"""An admin, the owner of the images, the member they are shared with, and one of a project that has to do with none."""

_SETTLED_WITHIN_S = 60.0
_BUSY = ("os_glance_import_task", "os_glance_importing_to_stores")


@dataclass(frozen=True, slots=True)
class Identity:
    """Tokens and project ids by persona; they outlive every service that is asked with them."""

    tokens: Mapping[str, str]
    projects: Mapping[str, str]


def identity_of(keystone: Keystone) -> Identity:
    """Of the personas, one of whom this Keystone may not know yet."""
    admin = keystone.token("admin")
    if "other" not in keystone.api.ids("users", admin):
        home = keystone.api.create("project", admin, name="other", domain_id=DOMAIN)
        user = keystone.api.create("user", admin, name="other", password=PASSWORD, domain_id=DOMAIN)
        for name, role in keystone.api.ids("roles", admin).items():
            if name in {"member", "reader"}:
                keystone.api.call("PUT", f"/projects/{home}/users/{user}/roles/{role}", token=admin)
    projects = keystone.api.ids("projects", admin)
    tokens = {persona: keystone.token(persona, persona) for persona in PERSONAS}
    return Identity(tokens, {persona: projects[persona] for persona in PERSONAS})


@dataclass(frozen=True, slots=True)
class Service:
    """A running Glance or Glint."""

    url: str
    identity: Identity

    def ask(
        self,
        persona: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        """A body of bytes goes as image data, else as JSON."""
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        sent = {"X-Auth-Token": self.identity.tokens[persona]} | ({"Content-Type": kind} if body is not None else {})
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return ask(self.url, method, path, sent | dict(headers or {}), data, chunked=chunked)

    def do(self, persona: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """As `ask`, of what must go well. Returns the document of the answer."""
        answer = self.ask(persona, method, path, body, headers)
        assert answer.status in range(200, 300), f"{method} {path} by {persona}: {answer.status} {answer.body!r}"
        return json.loads(answer.body) if answer.body[:1] in {b"{", b"["} else None

    def patch(self, persona: str, image_id: str, *operations: Mapping[str, Any]) -> Any:
        return self.do(persona, "PATCH", f"/v2/images/{image_id}", list(operations), **PATCH_V21)

    def settled(self, image_id: str, persona: str = "admin") -> Any:
        """The image, once no task works on it any more."""
        path = f"/v2/images/{image_id}"
        wait_until(lambda: not any(self.do(persona, "GET", path).get(name) for name in _BUSY))
        return self.do(persona, "GET", path)


@dataclass(slots=True)
class Made:
    """What one service has made: image ids by kind, their bytes by id, metadata namespaces, tasks."""

    images: dict[str, str] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    namespaces: list[str] = field(default_factory=list)


def wait_until(is_so: Callable[[], bool], timeout_s: float = _SETTLED_WITHIN_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come to that in time"
        time.sleep(0.05)
