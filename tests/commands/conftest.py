"""One real Glint and one origin for all tests of this folder; each test brings its own images."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from proxy.config import Config, load
from tests.glint import Glint
from tests.origin import MIB, Fault, Gate, Noise, Origin
from tests.peers import Keystone

_numbers = count()


@dataclass(frozen=True, slots=True)
class Image:
    """An image behind the origin."""

    id: str
    name: str  # of the image and at the origin
    content: Noise


@dataclass(frozen=True, slots=True)
class World:
    glint: Glint
    origin: Origin
    gates: list[Gate] = field(default_factory=list)

    @property
    def fills(self) -> float:
        return self.glint.metrics().value("glint_fills_in_flight")

    def release(self) -> None:
        while self.gates:
            self.gates.pop().open()

    def settle(self) -> None:
        """Wait for the end of all fills."""
        deadline_s = time.monotonic() + 30
        while self.glint.get("/v2/cache").json["queued_images"] or self.fills:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    @property
    def config(self) -> Config:
        return load(self.glint.config_path)

    def image(self, size_bytes: int = MIB, *, fault: Fault | None = None, **fields: Any) -> Image:
        """A new image whose first GET at the origin meets `fault`."""
        number = next(_numbers)
        name = f"image-{number}"
        content = self.origin.add(name, Noise(size_bytes, seed=number))
        if fault is not None:
            self.origin.script(name, fault)
            if fault.gate is not None:
                self.gates.append(fault.gate)
        image_id = self.glint.register(self.origin.url(name), content, **({"name": name} | fields))
        return Image(image_id, name, content)

    def gets(self, image: Image) -> int:
        return self.origin.counts(image.name).gets

    def is_cached(self, image: Image) -> bool:
        return image.id in {row["image_id"] for row in self.glint.get("/v2/cache").json["cached_images"]}

    def until_cached(self, image: Image) -> None:
        """Also for what was found damaged: that is asked for a moment after somebody was told of it."""
        deadline_s = time.monotonic() + 30
        while not self.is_cached(image):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)

    def entry(self, image: Image) -> Path:
        return self.glint.cache_dir / "entries" / image.id[:2] / image.id

    def damage(self, image: Image) -> None:
        """Flip a bit of the image's entry, as a disk does that decays."""
        entry = self.entry(image)
        with entry.open("r+b") as file:
            file.seek(image.content.size_bytes // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))

    def quarantined(self, image: Image) -> list[Path]:
        """Its entries that were found damaged, without their sums."""
        folder = self.glint.cache_dir / "quarantine"
        return [path for path in folder.glob(f"{image.id}*") if path.suffix != ".sums"]

    def status(self, image: Image) -> Any:
        return self.glint.get(f"/v2/cache/{image.id}").json


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Origin() as origin, Glint(tmp_path_factory.mktemp("glint"), {"cache.size_max": "64 MiB"}) as glint:
        yield World(glint, origin)


@pytest.fixture
def world(running: World) -> Iterator[World]:
    """An empty cache before an origin. What the test left running is let go, and ends, before the next one."""
    yield running
    running.release()
    running.settle()
    assert running.glint.request("DELETE", "/v2/cache").status == 204


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone) -> Iterator[World]:
    """The same, asking Keystone about tokens."""
    settings = {
        "auth.kind": "keystone",
        "auth.keystone": {"auth_url": keystone.url, "username": "glance", "password": "secret"},
    }
    with Origin() as origin, Glint(tmp_path_factory.mktemp("guarded"), settings) as glint:
        yield World(glint, origin)
