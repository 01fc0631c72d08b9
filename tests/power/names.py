"""Folders, names and permission bits on a disk that loses power, as steps that survive or do not."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

ROOT = 0


class Contradiction(Exception):
    """The calls do not fit together: a file is used that is not there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of names or bits. `name` in `folder` becomes `node` (None: nothing); `source` loses its name for it.

    `folder` None: a change of the bits of `node`.
    """

    number: int
    folder: int | None
    name: str
    node: int | None
    source: tuple[int, str] | None = None
    mode: int | None = None

    @property
    def folders(self) -> set[int]:
        return {folder for folder in (self.folder, self.source and self.source[0]) if folder is not None}


class Names:
    """Folders, the names in them, and the permission bits of all."""

    def __init__(self) -> None:
        self.folders: dict[int, dict[str, int]] = {ROOT: {}}
        self.modes: dict[int, int] = {}

    def copy(self) -> "Names":
        twin = Names()
        twin.folders = {node: dict(names) for node, names in self.folders.items()}
        twin.modes = dict(self.modes)
        return twin

    def apply(self, step: Step) -> None:
        if step.folder is None:
            assert step.node is not None
            assert step.mode is not None
            self.modes[step.node] = step.mode
            return
        if step.source is not None:
            self.folders[step.source[0]].pop(step.source[1], None)
        names = self.folders.setdefault(step.folder, {})
        if step.node is None:
            names.pop(step.name, None)
            return
        names[step.name] = step.node
        if step.mode is not None:
            self.modes.setdefault(step.node, step.mode)

    def find(self, path: str) -> tuple[int, str, int | None]:
        """The folder, the last part and what is there. Raises Contradiction if the folder is not there."""
        *parents, name = PurePosixPath(path).parts
        folder = ROOT
        for parent in parents:
            try:
                folder = self.folders[folder][parent]
            except KeyError:
                raise Contradiction(f"no folder for {path}") from None
        return folder, name, self.folders[folder].get(name)

    def walk(self, folder: int = ROOT, at: str = "") -> Iterator[tuple[str, int]]:
        for name, node in sorted(self.folders.get(folder, {}).items()):
            yield f"{at}{name}", node
            if node in self.folders:
                yield from self.walk(node, f"{at}{name}/")


def needs(step: Step, earlier: Step) -> bool:
    """Whether `step` cannot be without `earlier`: it is about the same name or file, or happens in a folder it made."""
    if earlier.folder is None:
        return step.folder is None and step.node == earlier.node
    if step.node is not None and step.node == earlier.node:
        return True
    if earlier.node in step.folders:
        return True
    places = {(earlier.folder, earlier.name), earlier.source}
    return (step.folder, step.name) in places or (step.source is not None and step.source in places)
