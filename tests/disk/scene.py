"""A Glint whose disk is about to fail, and clients who must not notice."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cache import CacheError, Outcome, charge_bytes
from tests.content import MIB, Content, Noise
from tests.disk.shim import DiskFaults
from tests.origin import Fault, Gate, Origin
from tests.served import Served, config_for, serving

WANTED = Noise(6 * MIB + 3, seed=3)
OTHERS = [Noise(3 * MIB + n, seed=4 + n) for n in range(2)]
LIMIT_BYTES = sum(charge_bytes(content.size_bytes) for content in OTHERS) + 3 * MIB
CLIENTS = 2
CLEAN_S = 60
FOLDERS = ("entries", "fills", "leaving", "quarantine")


@dataclass(frozen=True, slots=True)
class Image:
    image_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Scene:
    """`wanted` is the image that clients ask for; `break_disk` is what the test is about."""

    glint: Served
    origin: Origin
    disk: DiskFaults
    folder: Path
    wanted: Image
    _break: "Callable[[Scene], None]"

    def break_disk(self) -> None:
        self._break(self)

    async def ask(self, image: Image) -> None:
        assert await self.glint.fetch(image.image_id) == image.data

    async def ask_at_once(self) -> None:
        await asyncio.gather(*(self.ask(self.wanted) for _ in range(CLIENTS)))

    async def have(self, image: Image) -> None:
        """Ask for an image until it lies in the cache and is served from there. A disk that was bad is given time."""
        async with asyncio.timeout(CLEAN_S):
            while True:
                hits = self.glint.counted("glint_downloads_total", outcome=Outcome.HIT)
                await self.ask(image)
                if self.glint.counted("glint_downloads_total", outcome=Outcome.HIT) > hits:
                    return
                await asyncio.sleep(0.02)

    async def entry_of(self, image: Image) -> Path:
        """The file of its entry, which appears a moment after the last byte was sent."""
        path = self.folder / "entries" / image.image_id[:2] / image.image_id
        async with asyncio.timeout(CLEAN_S):
            while not await self.glint.services.cache.has(image.image_id):  # noqa: ASYNC110 - a running Glint has no event
                await asyncio.sleep(0.01)
        return path

    def files(self) -> list[Path]:
        return [path for name in FOLDERS for path in (self.folder / name).rglob("*") if path.is_file()]

    async def is_left_as_it_should_be(self) -> None:
        """Nothing partial lies there, nothing is held open, and what is counted is what is there."""
        deadline_s = time.monotonic() + CLEAN_S
        while (trouble := await self._trouble()) and time.monotonic() < deadline_s:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.02)
        assert not trouble, trouble

    async def _trouble(self) -> str:
        left = [path for path in self.files() if path.parent.name in ("fills", "leaving")]
        if left:
            return f"left behind: {left}"
        opened = [name for name in _open_files(self.folder) if name.startswith(FOLDERS)]
        if opened:
            return f"still open: {opened}"
        charged, lying = (await self.glint.services.cache.usage()).charged_bytes, sum(map(_size, self.files()))
        if charged > LIMIT_BYTES or abs(charged - lying) > lying / 1000:
            return f"{charged} bytes are counted, {lying} are there, {LIMIT_BYTES} is the limit"
        return ""


@asynccontextmanager
async def scene(folder: Path, break_disk: Callable[[Scene], None]) -> AsyncIterator[Scene]:
    """All is well and the cache is empty. Its disk is whole again before Glint stops."""
    changes = {
        "server": {"drain_s": 5},
        "cache": {
            "fill_idle_s": 3,
            "size_max": LIMIT_BYTES,
            "free_min": 0,
            "min_age_s": 0,
            "evict_from_percent": 100,
            "evict_to_percent": 100,
        },
    }
    with Origin() as origin:
        async with serving(config_for(folder, changes)) as glint:
            wanted = await _registered(glint, origin, "wanted", WANTED)
            with DiskFaults(folder / "cache") as disk:
                yield Scene(glint, origin, disk, folder / "cache", wanted, break_disk)


async def _registered(glint: Served, origin: Origin, name: str, content: Content) -> Image:
    origin.add(name, content)
    return Image(await glint.register(content, origin.url(name)), _data(content))


@cache
def _data(content: Content) -> bytes:
    return content.read()


# What the cache does when it breaks. Each ends with clients who got what they asked for.


async def _cold(scene: Scene) -> None:
    scene.break_disk()
    await scene.ask_at_once()


async def _filling(scene: Scene) -> None:
    gate = Gate(at=2 * MIB)
    scene.origin.script("wanted", Fault(gate=gate))
    async with asyncio.TaskGroup() as clients:
        clients.create_task(scene.ask_at_once())
        await gate.reached()
        scene.break_disk()
        gate.open()


async def _warm(scene: Scene) -> None:
    await scene.have(scene.wanted)
    async with scene.glint.session.get(scene.glint.file_url(scene.wanted.image_id)) as answer:
        start = await answer.content.readexactly(MIB)
        scene.break_disk()
        await scene.ask_at_once()
        assert start + await answer.content.read() == scene.wanted.data


async def _evicting(scene: Scene) -> None:
    others = [
        await _registered(scene.glint, scene.origin, f"other-{number}", content)
        for number, content in enumerate(OTHERS)
    ]
    for image in others:
        await scene.have(image)
    scene.break_disk()
    await scene.ask_at_once()
    for image in others:
        await scene.ask(image)


async def _scrubbing(scene: Scene) -> None:
    await scene.have(scene.wanted)

    async def scrub() -> None:
        with suppress(CacheError):
            while not finished.is_set():
                await scene.glint.services.cache.verify(scene.wanted.image_id)

    finished = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(scrub())
        scene.break_disk()
        await scene.ask_at_once()
        finished.set()
        scene.disk.heal()


STATES: Mapping[str, Callable[[Scene], Awaitable[None]]] = {
    "cold": _cold,
    "filling": _filling,
    "warm": _warm,
    "evicting": _evicting,
    "scrubbing": _scrubbing,
}


def _open_files(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            path = link.readlink()
            if path.is_relative_to(folder):
                found.append(str(path.relative_to(folder)))
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
