"""Which stretches of data are worth writing: those of zeros alone can stay holes of the file. Pure."""

from collections.abc import Iterator

BLOCK_BYTES = 64 * 1024  # holes are sought in blocks of so much, as Glance does; a cluster of qcow2 is as long
_ZEROS = bytes(BLOCK_BYTES)


def solid(data: bytes | bytearray, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """From where to where `data` is to be written, block by block from `start` on; blocks that touch come as one.

    Nothing is copied, and a block that holds anything is known by the first byte that does: mostly the very first.
    """
    begin = None
    for at in range(start, stop, BLOCK_BYTES):
        if data.startswith(_ZEROS if at + BLOCK_BYTES <= stop else _ZEROS[: stop - at], at):
            if begin is not None:
                yield begin, at
            begin = None
        elif begin is None:
            begin = at
    if begin is not None:
        yield begin, stop


class Blocks:
    """Chunks of any size, looked at in blocks of the file. `size_bytes` counts all of them, holes too.

    What fills no block waits for what follows it, so that chunks which end anywhere hide no holes.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self._rest = bytearray()

    def take(self, chunk: bytes) -> Iterator[tuple[int, memoryview]]:
        """What is to be written, and at which byte of the file. To be gone through to its end."""
        taken = min(BLOCK_BYTES - len(self._rest), len(chunk)) if self._rest else 0
        view, begin = memoryview(chunk), self.size_bytes
        self._rest += view[:taken]
        self.size_bytes += taken
        if len(self._rest) == BLOCK_BYTES:
            yield from self.end()
        stop = len(chunk) - (len(chunk) - taken) % BLOCK_BYTES
        for first, last in solid(chunk, taken, stop):
            yield begin + first, view[first:last]
        self._rest += view[stop:]
        self.size_bytes = begin + len(chunk)

    def end(self) -> Iterator[tuple[int, memoryview]]:
        """The same of what still waits."""
        rest, self._rest = self._rest, bytearray()
        for first, last in solid(rest, 0, len(rest)):
            yield self.size_bytes - len(rest) + first, memoryview(rest)[first:last]
