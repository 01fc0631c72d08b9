"""Several stores behind one face, and the configuration that makes them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from metrics import Instruments
from tests.contract.stores.peers import arriving
from tests.origin import MIB, Fault, Fixed, Noise, Origin
from upstream.errors import DataNotFound, Invalid, NotSupported, Unavailable, WrongLength
from upstream.stores import Stores, StoresConfig, open_stores
from upstream.types import Location

DISK = Noise(2 * MIB, seed=11)


@pytest.fixture
def origin() -> Any:
    with Origin() as opened:
        opened.add("disk", DISK)
        opened.add("copy", DISK)
        yield opened


def config(tmp_path: Path) -> StoresConfig:
    return StoresConfig.model_validate(
        {
            "default": "local",
            "backends": {
                "local": {"kind": "file", "dir": tmp_path / "local", "description": "disks of this node"},
                "fast": {"kind": "file", "dir": tmp_path / "fast", "weight": 10},
                "web": {"kind": "http", "weight": 5},
            },
        }
    )


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with open_stores(config(tmp_path), Instruments()) as opened:
        yield opened


async def read_whole(stores: Stores, *locations: Location, offset: int = 0) -> bytes:
    async with stores.source(locations, None)(offset) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_an_upload_goes_to_the_default_or_to_the_named_store(stores: Stores, tmp_path: Path) -> None:
    first = await stores.write("one", arriving(DISK), DISK.size_bytes)
    second = await stores.write("two", arriving(DISK), None, store="fast")

    assert first.location.url == f"file://{tmp_path}/local/one"
    assert (first.location.store, second.location.store) == ("local", "fast")
    assert await stores.size(second.location) == DISK.size_bytes


async def test_an_upload_to_an_unknown_or_read_only_store_is_refused(stores: Stores) -> None:
    with pytest.raises(Invalid, match="local, fast, web"):
        await stores.write("one", arriving(DISK), None, store="tape")
    with pytest.raises(NotSupported):
        await stores.write("one", arriving(DISK), None, store="web")


async def test_where_no_store_is_the_default_nobody_uploads(tmp_path: Path) -> None:
    only_web = StoresConfig.model_validate({"default": None, "backends": {"web": {"kind": "http"}}})

    async with open_stores(only_web, Instruments()) as stores:
        with pytest.raises(NotSupported):
            await stores.write("one", arriving(DISK), None)


async def test_the_heaviest_store_is_read_first(stores: Stores, origin: Origin) -> None:
    local = (await stores.write("one", arriving(Fixed(b"local")), None)).location
    web = Location(url=origin.url("disk"))

    assert await read_whole(stores, local, web) == DISK.read()
    fast = (await stores.write("one", arriving(Fixed(b"fast")), None, store="fast")).location
    assert await read_whole(stores, local, web, fast) == b"fast"


async def test_a_preferred_store_is_read_before_heavier_ones(stores: Stores, origin: Origin) -> None:
    local = (await stores.write("one", arriving(Fixed(b"local")), None)).location
    fast = (await stores.write("one", arriving(Fixed(b"fast")), None, store="fast")).location
    web, lost = Location(url=origin.url("nothing")), Location(url="rbd://pool/image")

    for preferred, found in [((), b"fast"), (("local",), b"local"), (("web", "local"), b"local"), (("tape",), b"fast")]:
        async with stores.source([lost, web, fast, local], None, preferred)(0) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == found, preferred


async def test_locations_of_one_store_are_tried_in_their_order(stores: Stores, origin: Origin) -> None:
    locations = [Location(url=origin.url("disk")), Location(url=origin.url("copy"))]

    assert await read_whole(stores, *locations, offset=5) == DISK.read(5)
    assert (origin.counts("disk").gets, origin.counts("copy").gets) == (1, 0)


async def test_a_location_that_cannot_be_opened_gives_way_to_the_next(stores: Stores, origin: Origin) -> None:
    origin.always("disk", Fault(status=503))
    unknown, broken = Location(url="rbd://pool/image"), Location(url=origin.url("disk"))

    assert await read_whole(stores, unknown, broken, Location(url=origin.url("copy")), offset=5) == DISK.read(5)


async def test_the_last_error_is_raised(stores: Stores, origin: Origin) -> None:
    origin.always("disk", Fault(status=503))

    with pytest.raises(Unavailable):
        await read_whole(stores, Location(url=origin.url("nothing")), Location(url=origin.url("disk")))
    with pytest.raises(DataNotFound):
        await read_whole(stores, Location(url=origin.url("disk")), Location(url=origin.url("nothing")))


async def test_an_image_without_locations_has_no_data(stores: Stores) -> None:
    with pytest.raises(DataNotFound):
        await read_whole(stores)


async def test_what_fails_after_opening_is_told_and_not_read_elsewhere(stores: Stores, origin: Origin) -> None:
    origin.script("disk", Fault(cut_at=MIB))

    with pytest.raises(WrongLength):
        await read_whole(stores, Location(url=origin.url("disk")), Location(url=origin.url("copy")))
    assert origin.counts("copy").gets == 0


async def test_a_local_file_of_the_right_size_is_served_in_place(
    stores: Stores, tmp_path: Path, origin: Origin
) -> None:
    location = (await stores.write("one", arriving(DISK), None)).location
    web = Location(url=origin.url("disk"))
    gone = Location(url=f"file://{tmp_path}/fast/gone")

    assert await stores.local_path([web, gone, location], DISK.size_bytes) == tmp_path / "local" / "one"
    assert await stores.local_path([location], None) == tmp_path / "local" / "one"
    assert await stores.local_path([web, location], 5) is None
    assert await stores.local_path([web], DISK.size_bytes) is None
    assert await stores.local_path([], None) is None


async def test_a_row_without_a_store_belongs_to_the_one_its_url_fits(stores: Stores, tmp_path: Path) -> None:
    assert stores.of(Location(url=f"file://{tmp_path}/fast/one")) == "fast"
    assert stores.of(Location(url=f"filesystem://{tmp_path}/local/one")) == "local"
    assert stores.of(Location(url=f"file://{tmp_path}/fast/one", metadata={"store": "gone"})) == "fast"
    assert stores.of(Location(url="https://example.org/one", metadata={"backend": "web"})) == "web"
    assert stores.of(Location(url="file:///moved/one")) == "local"
    assert stores.of(Location(url="https://example.org/one", metadata={"store": "local"})) == "web"
    with pytest.raises(NotSupported):
        stores.of(Location(url="rbd://pool/image"))
    with pytest.raises(Invalid):
        stores.of(Location(url="gopher://example.org/one"))


async def test_a_file_is_read_by_the_store_in_whose_folder_it_lies(stores: Stores, tmp_path: Path) -> None:
    """A Glance with several folders in one store names that store for all of them."""
    stored = await stores.write("one", arriving(DISK), None, store="fast")
    named_otherwise = Location(url=stored.location.url, metadata={"store": "local"})
    assert stores.of(named_otherwise) == "fast"
    assert await read_whole(stores, named_otherwise) == DISK.read()
    await stores.delete(named_otherwise)
    assert not (tmp_path / "fast" / "one").exists()


async def test_deleting_behind_http_is_not_supported(stores: Stores, origin: Origin) -> None:
    location = (await stores.write("one", arriving(DISK), None)).location
    await stores.delete(location)

    with pytest.raises(DataNotFound):
        await stores.size(location)
    with pytest.raises(NotSupported):
        await stores.delete(Location(url=origin.url("disk")))


async def test_the_stores_are_listed(stores: Stores) -> None:
    listed = [(info.id, info.description, info.is_default, info.is_read_only) for info in stores.infos()]
    assert listed == [
        ("local", "disks of this node", True, False),
        ("fast", "", False, False),
        ("web", "", False, True),
    ]


FILE = {"kind": "file", "dir": "/images"}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"default": "tape", "backends": {"local": FILE}}, "expected one of the backends (local), got 'tape'"),
        ({"default": "web", "backends": {"web": {"kind": "http"}}}, "expected a store that takes uploads"),
        ({"backends": {"local": FILE, "os_glance_staging": {"kind": "http"}}}, "must not start with os_glance_"),
        ({"backends": {"local": FILE, "a,b": {"kind": "http"}}}, "a,b"),
        ({"backends": {"local": FILE, "two": {"kind": "file", "dir": "/images/two"}}}, "lie in one another"),
        ({"backends": {"local": {"kind": "floppy"}}}, "floppy"),
        ({"backends": {"local": {**FILE, "directory": "x"}}}, "local.file.directory"),
        ({"backends": {"local": {**FILE, "file_mode": 0o1777}}}, "local.file.file_mode"),
        (
            {"backends": {"local": FILE, "w": {"kind": "http", "denied_networks": ["everything"]}}},
            "w.http.denied_networks",
        ),
        ({"backend": {}}, "backend"),
    ],
)
def test_a_mistake_in_the_section_is_named(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        StoresConfig.model_validate(section)

    told = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in caught.value.errors()]
    assert any(said in line for line in told), told


def test_without_a_section_images_lie_in_one_folder() -> None:
    config = StoresConfig()

    assert config.default == "local"
    assert [(store, one.kind) for store, one in config.backends.items()] == [("local", "file")]
    assert StoresConfig.model_validate(config.model_dump()) == config
