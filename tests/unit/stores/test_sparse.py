"""Files with holes: fewer blocks on the disk, and not a byte that is different."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from upstream.stores.file import Folder
from upstream.stores.file.folders import Folders
from upstream.stores.file.parts import How, Part
from upstream.stores.file.sparse import BLOCK_BYTES, Blocks

_SIZES = st.one_of(
    st.integers(0, 5),
    st.integers(BLOCK_BYTES - 2, BLOCK_BYTES + 2),
    st.integers(0, 5 * BLOCK_BYTES),
    st.integers(0, 5).map(lambda blocks: blocks * BLOCK_BYTES),
)


@st.composite
def chunks(draw: st.DrawFn) -> list[bytes]:
    """Zeros, something else, or zeros with one byte that is none, of sizes that end anywhere."""
    made = []
    for size_bytes in draw(st.lists(_SIZES, max_size=8)):
        data = bytearray((b"\0" if draw(st.booleans()) else b"\xa5") * size_bytes)
        if size_bytes and draw(st.booleans()):
            data[draw(st.integers(0, size_bytes - 1))] = draw(st.sampled_from([0, 7]))
        made.append(bytes(data))
    return made


def written(folder: Path, pieces: Sequence[bytes]) -> Path:
    part = Part(Folders("local", [Folder("local", folder)]), "image", How(is_thin=True))
    part.open(None)
    for at in range(0, len(pieces), 3):
        part.append(pieces[at : at + 3])
    part.publish()
    assert part.size_bytes == sum(map(len, pieces))
    return folder / "image"


@given(chunks())
@example([bytes(BLOCK_BYTES)])
@example([b"x", bytes(3 * BLOCK_BYTES)])
@example([bytes(BLOCK_BYTES - 1), b"x", bytes(BLOCK_BYTES), b""])
def test_whatever_is_written_is_there_to_the_byte(pieces: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert written(Path(folder), pieces).read_bytes() == b"".join(pieces)


@given(chunks())
def test_no_block_of_zeros_is_written_and_every_other_one_is(pieces: list[bytes]) -> None:
    blocks, data = Blocks(), b"".join(pieces)

    out = [one for piece in pieces for one in blocks.take(piece)] + list(blocks.end())

    starts = range(0, len(data), BLOCK_BYTES)
    solid = {at for at in starts if any(data[at : at + BLOCK_BYTES])}
    covered = {at for start, piece in out for at in range(start, start + len(piece), BLOCK_BYTES)}
    assert covered == solid
    assert all(data[start : start + len(piece)] == piece for start, piece in out)


def test_holes_take_no_room_on_the_disk(tmp_path: Path) -> None:
    pieces = [b"x" * BLOCK_BYTES, *[bytes(1024 * 1024)] * 16, b"y" * 100, bytes(1024 * 1024)]

    file = written(tmp_path, pieces)

    found = file.stat()
    assert found.st_size == sum(map(len, pieces))
    assert found.st_blocks * 512 <= 3 * BLOCK_BYTES
