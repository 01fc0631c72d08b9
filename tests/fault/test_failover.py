"""A store that dies in the middle of a body: another location goes on, if it proves to have the same object."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.content import MIB, Noise
from tests.origin import Fault, Origin
from tests.served import Served, config_for, serving
from upstream.registry import ImageChanges
from upstream.types import GLINT, Location

SIZE_MIB = 8
START = 2 * MIB + 7
READERS: Mapping[str, tuple[Mapping[str, str], int]] = {
    "a fill": ({}, 0),
    "past the cache": ({"Cache-Control": "no-store"}, 0),
    "a range": ({"Range": f"bytes={START}-"}, START),
}
"""What a reader sends, and where in the image his body begins."""


def content(number: int) -> Noise:
    """What the dying store serves at the path of that number."""
    return Noise(SIZE_MIB * MIB, seed=number)


class Dying:
    """A store in a process of its own, slow enough to be killed in the middle of its answers."""

    def __init__(self, process: "subprocess.Popen[str]", urls: Sequence[str]) -> None:
        self.process, self.urls = process, urls
        self._awaited = len(urls)

    def one_more_reads(self) -> None:
        """It is killed when all its contents are being read."""
        self._awaited -= 1
        if not self._awaited:
            self.process.kill()


@contextmanager
def dying_store(contents: int) -> Iterator[Dying]:
    command = [sys.executable, "-m", "tests.origin", "--size-mib", str(SIZE_MIB), "--rate-mib-s", "2"]
    command += ["--contents", str(contents)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Dying(process, json.loads(process.stdout.readline())["urls"])
        finally:
            process.kill()


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        yield served


@pytest.fixture
async def glint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """With a heavier store, which dies, and one that lives. Who breaks is asked again at once."""
    monkeypatch.setattr("cache.resume.pause_s", lambda _failures, _chance: 0.001)
    weights = {"dying": {"kind": "http", "weight": 10}, "web": {"weight": 1}}
    changes = {"stores": {"backends": weights}, "cache": {"range_fill_percent": 100, "size_max": "1 GiB"}}
    async with serving(config_for(tmp_path, changes)) as served:
        yield served


async def image_at(glint: Served, origin: Origin, data: Noise, first: str, second: str) -> str:
    """An active image with the digest of `data` and these two locations."""
    origin.add("right", data)
    image_id = await glint.register(data, origin.url("right"))
    locations = tuple(
        Location(url=url, metadata={"store": store}) for url, store in ((first, "dying"), (second, "web"))
    )
    await glint.services.registry.images.update(GLINT, image_id, ImageChanges(locations=locations))
    return image_id


@dataclass(frozen=True, slots=True)
class Got:
    body: bytes
    is_whole: bool  # as the client takes it


async def read(glint: Served, image_id: str, headers: Mapping[str, str], dying: Dying) -> Got:
    """What a client gets whose store is killed when he, and all the others, have the first of it."""
    parts: list[bytes] = []
    is_counted = False
    async with glint.session.get(glint.file_url(image_id), headers=headers) as answer:
        assert answer.status in {200, 206}
        try:
            async for part in answer.content.iter_any():
                parts.append(part)
                if not is_counted and sum(map(len, parts)) >= MIB // 2:
                    is_counted = True
                    dying.one_more_reads()
        except aiohttp.ClientError:
            return Got(b"".join(parts), is_whole=False)
    return Got(b"".join(parts), is_whole=True)


async def test_a_store_that_is_killed_in_mid_body_is_only_a_pause(glint: Served, origin: Origin) -> None:
    with dying_store(len(READERS)) as dying:
        ids = []
        for number, url in enumerate(dying.urls):
            origin.add(f"copy{number}", content(number))
            ids.append(await image_at(glint, origin, content(number), url, origin.url(f"copy{number}")))
        found = await asyncio.gather(
            *(
                read(glint, image_id, headers, dying)
                for image_id, (headers, _) in zip(ids, READERS.values(), strict=True)
            )
        )
    for number, (reader, (_, start)) in enumerate(READERS.items()):
        assert found[number].is_whole, reader
        assert found[number].body == content(number).read(start), reader
        assert origin.counts(f"copy{number}").sent_bytes < len(found[number].body), "it went on, and did not begin anew"
    await glint.until_cached(ids[0])


async def test_another_object_at_the_second_location_is_never_taken_for_the_rest(glint: Served, origin: Origin) -> None:
    others = {"of the same size": Noise(SIZE_MIB * MIB, seed=50), "of another size": Noise(SIZE_MIB * MIB + 1, seed=51)}
    cases = [(reader, other) for reader in READERS for other in others]
    for name, other in others.items():
        origin.add(name.replace(" ", "-"), other)
    with dying_store(len(cases)) as dying:
        ids = [
            await image_at(glint, origin, content(number), dying.urls[number], origin.url(other.replace(" ", "-")))
            for number, (_, other) in enumerate(cases)
        ]
        found = await asyncio.gather(
            *(
                read(glint, image_id, READERS[reader][0], dying)
                for image_id, (reader, _) in zip(ids, cases, strict=True)
            )
        )
    for number, (case, got) in enumerate(zip(cases, found, strict=True)):
        start = READERS[case[0]][1]
        assert not got.is_whole, case
        assert got.body == content(number).read(start, start + len(got.body)), case
        assert not await glint.services.cache.has(ids[number]), case


async def test_a_store_that_is_down_is_skipped_at_open(glint: Served, origin: Origin) -> None:
    for number, (reader, (headers, start)) in enumerate(READERS.items()):
        origin.add("copy", content(number))
        image_id = await image_at(glint, origin, content(number), origin.refused_url, origin.url("copy"))
        async with glint.session.get(glint.file_url(image_id), headers=headers) as answer:
            assert await answer.read() == content(number).read(start), reader


async def test_where_the_other_location_has_another_object_the_first_one_is_asked_again(
    glint: Served, origin: Origin
) -> None:
    origin.add("disk", content(0))
    origin.add("copy", Noise(SIZE_MIB * MIB, seed=50))
    origin.script("disk", Fault(cut_at=5 * MIB))
    image_id = await image_at(glint, origin, content(0), origin.url("disk"), origin.url("copy"))
    assert await glint.fetch(image_id) == content(0).read()
