"""Copies between stores: straight from one into the other, or out of the cache, and never of wrong bytes."""

import hashlib
import sqlite3
from collections.abc import Iterator

import pytest

from tests.content import MIB, Noise
from tests.glint import Glint
from tests.imports.importing import FAILED, IMPORTING, begin, importing_glint, left_in, settled, tasks_of
from tests.origin import Fault, Origin

DATA = Noise(3 * MIB + 5, seed=31)
OTHER = Noise(3 * MIB + 5, seed=32)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        yield served


@pytest.fixture(scope="module")
def glint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glint]:
    with importing_glint(tmp_path_factory.mktemp("copies")) as running:
        yield running


def registered(glint: Glint, origin: Origin, content: Noise | None = DATA) -> str:
    """The id of an image whose data lie at the origin, when no task works on it any more."""
    image_id = glint.register(origin.url("disk"), content)
    settled(glint, image_id)
    return image_id


def copied(glint: Glint, image_id: str) -> bytes:
    """What lies in the other store after the copy, which went well."""
    assert begin(glint, image_id, "copy-image", stores=["other"]).status == 202
    image = settled(glint, image_id)
    assert (image["stores"], image.get(FAILED), image.get(IMPORTING)) == ("web,other", "", "")
    assert tasks_of(glint, image_id)[-1]["status"] == "success"
    return (glint.directory / "images2" / image_id).read_bytes()


def was_refused(glint: Glint, image_id: str) -> None:
    assert begin(glint, image_id, "copy-image", stores=["other"]).status == 202
    image = settled(glint, image_id, timeout_s=60)
    assert (image["status"], image["stores"], image[FAILED], image.get(IMPORTING)) == ("active", "web", "other", "")
    assert tasks_of(glint, image_id)[-1]["status"] == "failure"
    assert image_id not in left_in(glint.directory / "images2")


def tell_digests(glint: Glint, image_id: str, algorithm: str | None, content: Noise, *, checksum: bool = False) -> None:
    """Have the image say these digests only, as rows of other releases and services do."""
    value = None if algorithm is None else content.digest(algorithm)
    md5 = hashlib.md5(content.read()).hexdigest() if checksum else None
    with sqlite3.connect(glint.directory / "registry.db", timeout=30) as database:
        database.execute(
            "UPDATE images SET os_hash_algo = ?, os_hash_value = ?, checksum = ? WHERE id = ?",
            (algorithm, value, md5, image_id),
        )


def test_a_copy_goes_from_store_to_store_without_a_file_between(glint: Glint, origin: Origin) -> None:
    origin.add("disk", DATA)
    image_id = registered(glint, origin)
    assert copied(glint, image_id) == DATA.read()
    assert origin.counts("disk").gets == 1
    assert left_in(glint.directory / "staging") == []
    assert image_id not in {row["image_id"] for row in glint.get("/v2/cache").json["cached_images"]}


def test_a_copy_of_what_is_cached_asks_no_store(glint: Glint, origin: Origin) -> None:
    origin.add("disk", DATA)
    image_id = registered(glint, origin)
    assert glint.run("prewarm", image_id).returncode == 0
    assert copied(glint, image_id) == DATA.read()
    assert origin.counts("disk").gets == 1


def test_a_copy_goes_on_where_its_source_broke_off(glint: Glint, origin: Origin) -> None:
    origin.add("disk", DATA)
    origin.script("disk", Fault(cut_at=MIB))
    image_id = registered(glint, origin)
    assert copied(glint, image_id) == DATA.read()
    assert origin.counts("disk").sent_bytes == DATA.size_bytes


@pytest.mark.parametrize(("algorithm", "checksum"), [("sha512", False), ("sha256", False), (None, True)])
def test_wrong_bytes_never_become_a_location(
    glint: Glint, origin: Origin, algorithm: str | None, *, checksum: bool
) -> None:
    origin.add("disk", OTHER)
    image_id = registered(glint, origin, None)
    tell_digests(glint, image_id, algorithm, DATA, checksum=checksum)
    was_refused(glint, image_id)


def test_bytes_that_went_bad_in_the_cache_never_become_a_location(glint: Glint, origin: Origin) -> None:
    origin.add("disk", DATA)
    image_id = registered(glint, origin)
    assert glint.run("prewarm", image_id).returncode == 0
    entry = next(path for path in (glint.cache_dir / "entries").rglob(image_id) if path.is_file())
    entry.chmod(0o600)
    with entry.open("r+b") as file:
        file.seek(MIB)
        file.write(bytes([DATA.read(MIB, MIB + 1)[0] ^ 1]))
    was_refused(glint, image_id)


def test_too_few_bytes_never_become_a_location(glint: Glint, origin: Origin) -> None:
    origin.add("disk", DATA)
    image_id = registered(glint, origin)
    origin.add("disk", Noise(DATA.size_bytes - 1, seed=31))
    was_refused(glint, image_id)
