"""A Glint of a cloud, and the people who use it by the commands `openstack` and `glance`."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.content import Noise
from tests.glint import Glint
from tests.origin import Origin
from tests.peers.clients import ClientFailed, Finished
from tests.peers.driven_clients import DrivenClients
from tests.peers.keystone import Keystone

CONTENT = Noise(300_000, seed=77)
FORMATS = ("--disk-format", "raw", "--container-format", "bare")


def covers(*commands: str) -> pytest.MarkDecorator:
    """Says which commands a test shows to work, each with options if it uses such; it fails unless it runs them.

    `glance image-list --tag --sort` stands for the command and for each of the two options.
    """
    said = [text.partition(" --") for text in commands]
    options = [f"{name} --{option}" for name, _, rest in said for option in rest.split(" --") if option]
    return pytest.mark.covers(*(name for name, _, _ in said), *options)


@dataclass(frozen=True, slots=True)
class Cloud:
    """`people` are the environments in which each logs in; `projects` the ids of their projects."""

    glint: Glint
    origin: Origin
    clients: DrivenClients
    keystone: Keystone
    people: Mapping[str, Mapping[str, str]]
    projects: Mapping[str, str]
    disk: Path
    """A file of `CONTENT`."""

    def openstack(self, words: str, *more: str | Path, by: str = "demo", stdin: bytes | None = None) -> Finished:
        """The command of `words`, and arguments that may have spaces. Raises ClientFailed."""
        return self.clients.openstack(self.people[by], *words.split(), *more, stdin=stdin)

    def glance(self, words: str, *more: str | Path, by: str = "demo", stdin: bytes | None = None) -> Finished:
        """Raises ClientFailed."""
        return self.clients.glance(self.people[by], *words.split(), *more, stdin=stdin)

    def json(self, words: str, *more: str | Path, by: str = "demo") -> Any:
        """What `openstack` prints as JSON."""
        return self.openstack(words, *more, "-f", "json", by=by).json()

    def table(self, words: str, *more: str | Path, by: str = "demo", stdin: bytes | None = None) -> dict[str, str]:
        """What `glance` prints as a table of two columns."""
        return dict(rows(self.glance(words, *more, by=by, stdin=stdin).text))

    def show(self, image_id: str, *, by: str = "admin") -> Any:
        """The image as the API has it, asked past all clients; {} if there is none."""
        answer = self.glint.get(f"/v2/images/{image_id}", token=self.token(by))
        return answer.json if answer.status == 200 else {}

    def get(self, path: str, *, by: str = "admin") -> Any:
        return self.glint.get(path, token=self.token(by)).json

    def token(self, user: str) -> str:
        return self.keystone.token(user)

    def image(self, name: str, *, by: str = "demo") -> str:
        """The id of a new image with `CONTENT`, made past all clients."""
        return self.glint.upload(CONTENT.read(), token=self.token(by), name=name)

    def remote_image(self, name: str) -> str:
        """The same whose data lies behind http, so that it goes through the cache."""
        self.origin.add(name, CONTENT)
        return self.glint.register(self.origin.url(name), CONTENT, token=self.token("demo"), name=name)

    def until(self, holds: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        """Wait for something true, and give it."""
        deadline_s = time.monotonic() + timeout_s
        while not (found := holds()):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        return found

    def refuses(self, run: Callable[[], Finished], text: str) -> None:
        """The command ends with an error that says `text`."""
        with pytest.raises(ClientFailed, match=text):
            run()


def rows(text: str) -> list[list[str]]:
    """The cells of a table that a client has drawn, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found: list[list[str]] = []
    for line in lines[1:]:
        cells = [cell.strip() for cell in re.split(r" \| ", line.strip("|"))]
        if cells[0] or not found:
            found.append(cells)
        else:  # it goes on with the row before, which was too long
            found[-1] = [f"{before} {more}".strip() for before, more in zip(found[-1], cells, strict=True)]
    return found
