"""A disk that loses power: what of the calls so far is there afterwards. No I/O in here but `Survivors.write_to`.

What a file system promises, and nothing more:

- Data is durable once fsync or fdatasync has returned for its file. Of what was written since, each page of 4 KiB may
  be there or not, or as one of the writes between left it; a page that is missing shows what lay there before, or
  zeros. The length is one of those since the last sync, whatever pages are there.
- Names (made, renamed, removed) are durable once fsync has returned for their folder. A rename is never half done.
- Of names and permission bits that were not synced:
    Order.JOURNAL  the first so many survive, in the order in which they were made: one journal for the file system, as
                   in ext4 and XFS. Syncing a folder syncs all that was made before. Syncing a file promises nothing
                   about its name (both would, but nobody should need it).
    Order.LOOSE    any of them survive, as long as each finds what it needs: a file that is renamed must have been made,
                   a folder must be there for its names. Syncing a file also makes its name durable, as all file systems
                   of Linux do that order names so loosely (Btrfs, and ext4 with fast commits).
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.power.calls import Call, Chmod, Mark, Mkdir, Open, Remove, Rename, Sync, Truncate, Write
from tests.power.names import ROOT, Contradiction, Names, Step, needs
from tests.power.pages import File, Patch, content_of, torn


class Order(StrEnum):
    JOURNAL = "journal"
    LOOSE = "loose"


@dataclass(frozen=True, slots=True)
class Survivors:
    """What is there when the power is back: content (None: a folder) and permission bits, by path."""

    files: Mapping[str, bytes | None]
    modes: Mapping[str, int]

    @property
    def size_bytes(self) -> int:
        return sum(len(content) for content in self.files.values() if content is not None)

    def write_to(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for path, content in self.files.items():
            if content is None:
                (folder / path).mkdir()
            else:
                (folder / path).write_bytes(content)
        for path, mode in reversed(list(self.modes.items())):
            (folder / path).chmod(mode)


class Disk:
    """Takes calls one by one; `cut` may be asked at any time, and changes nothing."""

    def __init__(self, root: str, order: Order) -> None:
        self._root, self._order = root, order
        self._nodes = 0
        self._now, self._durable = Names(), Names()
        self._journal: list[Step] = []
        self._files: dict[int, File] = {}
        self._handles: dict[int, tuple[int, bool]] = {}  # node, appends
        self._positions: dict[int, int] = {}
        self._made: set[int] = set()  # nodes whose making is durable
        self._number = 0

    def take(self, call: Call) -> None:
        """Raises Contradiction."""
        match call:
            case Open():
                self._open(call)
            case Write():
                node, appends = self._handles[call.handle]
                at = call.offset
                if at is None:
                    at = self._files[node].size_bytes if appends else self._positions.get(call.handle, 0)
                    self._positions[call.handle] = at + len(call.data)
                self._patch(node, at, call.data, max(self._files[node].size_bytes, at + len(call.data)))
            case Truncate():
                node, _ = self._handles[call.handle]
                if not call.only_grows or call.size_bytes > self._files[node].size_bytes:
                    self._patch(node, 0, None, call.size_bytes)
            case Sync():
                self._sync(*self._handles[call.handle][:1], began=call.began, data_only=call.data_only)
            case Chmod():
                changed = self._node(call.path) if call.handle is None else self._handles[call.handle][0]
                self._step(Step(self._number, None, "", changed, mode=call.mode))
            case Mkdir():
                self._name(call.path, self._new(is_folder=True), call.mode)
            case Rename():
                source_folder, source_name, _ = self._now.find(self._inside(call.path))
                folder, name, _ = self._now.find(self._inside(call.to))
                source = source_folder, source_name
                self._step(Step(self._number, folder, name, self._node(call.path), source=source))
            case Remove():
                folder, name, _ = self._now.find(self._inside(call.path))
                self._step(Step(self._number, folder, name, None))
            case Mark():
                pass
        self._number += 1

    def paths(self) -> set[str]:
        """What is there without a power cut."""
        return {path for path, _ in self._now.walk()}

    def whole(self) -> Survivors:
        """What is there without a power cut."""
        return self._survivors(self._now, lambda file: content_of(file, file.size_bytes, None))

    def cut(self, chance: random.Random) -> Survivors:
        """What is there when the power goes now."""
        names = self._durable.copy()
        for step in self._surviving_steps(chance):
            names.apply(step)
        return self._survivors(names, lambda file: torn(file, chance))

    def _open(self, call: Open) -> None:
        if call.path == self._root:
            self._handles[call.handle] = ROOT, False
            return
        folder, name, node = self._now.find(self._inside(call.path))
        if node is None:
            if not call.creates:
                raise Contradiction(f"{call.path} is opened, and is not there")
            node = self._new(is_folder=False)
            self._step(Step(self._number, folder, name, node, mode=call.mode))
        elif call.truncates and self._files[node].size_bytes:
            self._patch(node, 0, None, 0)
        self._handles[call.handle] = node, call.appends

    def _inside(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    def _node(self, path: str) -> int:
        node = self._now.find(self._inside(path))[2]
        if node is None:
            raise Contradiction(f"{path} is changed, and is not there")
        return node

    def _new(self, *, is_folder: bool) -> int:
        self._nodes += 1
        if is_folder:
            self._now.folders[self._nodes] = {}
        else:
            self._files[self._nodes] = File()
        return self._nodes

    def _name(self, path: str, node: int, mode: int) -> None:
        if path == self._root:
            return  # the folder above is not ours
        folder, name, _ = self._now.find(self._inside(path))
        self._step(Step(self._number, folder, name, node, mode=mode))

    def _step(self, step: Step) -> None:
        self._now.apply(step)
        self._journal.append(step)

    def _patch(self, node: int, offset: int, data: bytes | None, size_bytes: int) -> None:
        file = self._files[node]
        file.patches.append(Patch(self._number, offset, data, size_bytes))
        file.size_bytes = size_bytes

    def _sync(self, node: int, *, began: int, data_only: bool) -> None:
        synced = [step for step in self._journal if step.number < began]
        if node in self._files:
            file = self._files[node]
            kept = [patch for patch in file.patches if patch.number < began]
            if kept:
                file.durable = bytearray(content_of(File(file.durable, kept), kept[-1].size_bytes, None))
                file.patches = file.patches[len(kept) :]
            if self._order is Order.LOOSE:
                self._make_durable([step for step in synced if step.folder is not None and step.node == node])
            bits = [] if data_only else [step for step in synced if step.folder is None and step.node == node]
            for step in bits:
                self._durable.apply(step)
                self._journal.remove(step)
        elif self._order is Order.JOURNAL:
            touched = [place for place, step in enumerate(synced) if node in step.folders]
            self._make_durable(synced[: touched[-1] + 1] if touched else [])
        else:
            self._make_durable([step for step in synced if node in step.folders])

    def _make_durable(self, wanted: Iterable[Step]) -> None:
        """These steps, and those that they need."""
        chosen = {step.number for step in wanted}
        for place in range(len(self._journal) - 1, -1, -1):
            step = self._journal[place]
            if step.number not in chosen:
                continue
            chosen |= {earlier.number for earlier in self._journal[:place] if needs(step, earlier)}
        for step in self._journal:
            if step.number in chosen:
                self._durable.apply(step)
        self._journal = [step for step in self._journal if step.number not in chosen]

    def _surviving_steps(self, chance: random.Random) -> Iterator[Step]:
        if self._order is Order.JOURNAL:
            yield from self._journal[: _some(len(self._journal), chance)]
            return
        odds = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        lost: list[Step] = []
        for step in self._journal:
            if chance.random() >= odds or any(needs(step, earlier) for earlier in lost):
                lost.append(step)
            else:
                yield step

    def _survivors(self, names: Names, content: Callable[[File], bytes]) -> Survivors:
        found = list(names.walk())
        return Survivors(
            files={path: content(self._files[node]) if node in self._files else None for path, node in found},
            modes={path: names.modes[node] for path, node in found if node in names.modes},
        )


def _some(count: int, chance: random.Random) -> int:
    """So many of `count`: often all, often none, else anything between."""
    return chance.choice((0, count, chance.randint(0, count), chance.randint(0, count)))
