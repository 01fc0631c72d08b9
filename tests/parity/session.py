"""Runs cases against a live server."""

import functools
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.parity.client import Answer, ask
from tests.parity.model import Case, Persona, Step
from tests.parity.normalise import normalise

_STRANGER_TOKEN = "no-keystone-issued-this"
_SETTLED_WITHIN_S = 90.0
_SETTLED_AFTER_TIMES = 2
_POLL_S = 0.05

IsMet = Callable[[int, Mapping[str, Any]], bool]


def fill_in(text: str, known: Mapping[str, str]) -> str:
    """Put the known values where their `{name}` stands; other braces stay."""
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@dataclass(slots=True, kw_only=True)
class Session:
    """A server under comparison, the tokens to ask it with, and the origin it can read."""

    url: str
    origin: str
    token: Callable[[str], str | None]
    new_image: Mapping[str, Any] = field(default_factory=dict)
    """What no new image may lack on this server."""
    projects: dict[str, str] = field(default_factory=dict)

    def learn_projects(self) -> None:
        """Find the project ids by what the server calls the owner of each persona's new image."""
        personas: tuple[Persona, ...] = ("admin", "demo", "alt", "nova")
        body = json.dumps(dict(self.new_image)).encode()
        for persona in personas:
            made = json.loads(self.ask(Step(persona=persona, method="POST", path="/v2/images", body=body), {}).body)
            self.projects[persona] = made["owner"]
            self.ask(Step(persona="admin", method="DELETE", path=f"/v2/images/{made['id']}"), {})

    def run(self, case: Case, is_met: IsMet | None = None) -> list[dict[str, Any]]:
        """The normalised answer of every step. Images that were captured are deleted at the end.

        What a server finishes in the background is asked for until `is_met` holds of the step's number, from 1, and
        its answer; without one, until it has had the step's own values twice.
        """
        fresh = uuid.uuid4()
        known = {
            "uniq": f"parity-{fresh.hex}",
            "uuid": str(fresh),
            "UUID": str(fresh).upper(),
            "hex": fresh.hex,
            "origin": self.origin,
            "url": self.url,
            **self.projects,
        }
        shared = frozenset(known)
        answers = []
        try:
            for number, step in enumerate(case.steps, start=1):
                has_settled = _has_values(step) if is_met is None else partial(_is_met, is_met, number, step, known)
                answer = self._settled(step, known, has_settled)
                known |= _captured(step, answer)
                answers.append(_described(step, answer, known))
        finally:
            for name in known.keys() - shared:
                self._clean_up(known[name])
        return answers

    def ask(self, step: Step, known: Mapping[str, str]) -> Answer:
        """Send one step with its values filled in."""
        headers = {name: fill_in(value, known) for name, value in step.headers.items()}
        token = _STRANGER_TOKEN if step.persona == "stranger" else self.token(step.persona)
        if token is not None:
            headers["X-Auth-Token"] = token
        body = step.body
        if body is not None and b"{" in body:
            body = fill_in(body.decode("latin-1"), known).encode("latin-1")
        return ask(self.url, step.method, fill_in(step.path, known), headers, body, chunked=step.chunked)

    def _settled(self, step: Step, known: Mapping[str, str], has_settled: Callable[[Answer], bool]) -> Answer:
        deadline_s = time.monotonic() + _SETTLED_WITHIN_S
        while True:
            answer = self.ask(step, known)
            if not step.until or has_settled(answer) or time.monotonic() > deadline_s:
                return answer
            time.sleep(_POLL_S)

    def _clean_up(self, image_id: str) -> None:
        path = f"/v2/images/{image_id}"
        unprotect = b'[{"op": "replace", "path": "/protected", "value": false}]'
        media = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        if self.ask(Step(persona="admin", method="DELETE", path=path), {}).status == 403:
            self.ask(Step(persona="admin", method="PATCH", path=path, headers=media, body=unprotect), {})
            self.ask(Step(persona="admin", method="DELETE", path=path), {})


def _captured(step: Step, answer: Answer) -> dict[str, str]:
    if not step.captures or answer.status >= 300:
        return {}
    document = json.loads(answer.body)
    return {name: str(functools.reduce(_item, key.split("."), document)) for name, key in step.captures.items()}


def _item(document: Any, key: str) -> Any:
    return document[int(key)] if isinstance(document, list) else document[key]


def _described(step: Step, answer: Answer, known: Mapping[str, str]) -> dict[str, Any]:
    return {"step": f"{step.method} {step.path} by {step.persona}", **normalise(answer, known)}


def _is_met(is_met: IsMet, number: int, step: Step, known: Mapping[str, str], answer: Answer) -> bool:
    return is_met(number, _described(step, answer, known))


def _has_values(step: Step) -> Callable[[Answer], bool]:
    """Says of one answer after another whether it is the second that has what the step waits for."""
    times_right = 0

    def has_settled(answer: Answer) -> bool:
        nonlocal times_right
        document = json.loads(answer.body)
        times_right += all(document.get(name) == value for name, value in step.until.items())
        return times_right == _SETTLED_AFTER_TIMES

    return has_settled
