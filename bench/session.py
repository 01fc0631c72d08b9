"""What all scenarios of one bench share: a folder, cores, results, and the Glance that takes long to start."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from bench.glint import Identity
from bench.measuring import Cores, Run, WrongBytes
from bench.results import Column, Results
from tests.peers import Glance, GlanceOptions, Keystone, Memcached

L = TypeVar("L")


class Session:
    """Entered, it may be measured in; left, all that was started for it is gone. `peers` are some that run already."""

    def __init__(
        self,
        directory: Path,
        results: Results,
        *,
        cores: Cores | None = None,
        tell: Callable[[str], None] = print,
        peers: tuple[Identity, Glance] | None = None,
    ) -> None:
        self.directory, self.results, self.cores, self.tell = directory, results, cores or Cores(), tell
        self._peers = peers
        self._stack = ExitStack()
        self._numbers = count()

    @property
    def peers(self) -> tuple[Identity, Glance]:
        """A Glance of two uWSGI processes, and the Keystone and memcached that it shares with Glint."""
        if self._peers is None:
            keystone = self._stack.enter_context(Keystone(self.directory / "keystone"))
            memcached = self._stack.enter_context(Memcached(self.directory / "memcached"))
            options = GlanceOptions(image_cache=False, processes=2)
            glance = self._stack.enter_context(Glance(self.directory / "glance", keystone, memcached, options=options))
            self._peers = Identity(keystone=keystone, memcached=memcached), glance
        return self._peers

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Empty, and gone afterwards."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.directory, prefix=f"{next(self._numbers)}-") as name:
            yield Path(name)

    def add(self, runs: list[Run], run: Run, said: str) -> None:
        """Keep a run that counts or was a look, and say how it went."""
        self.results.add(run)
        runs.append(run)
        case = f" {run.case}," if run.case else ""
        self.tell(f"{run.scenario}:{case} {run.clients} clients, round {run.round}: {run.server}: {said}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario(Generic[L]):
    """What is measured, in two sizes. `expected` was written before it was measured."""

    name: str
    title: str
    expected: str
    small: L
    real: L
    run: Callable[[Session, L], list[Run]]
    columns: Sequence[Column]
    ours: Sequence[str]
    theirs: Sequence[str]  # whom `ours` are compared with
    ratios: Sequence[str]  # by these headings
    plots: Sequence[str]  # headings
    disk_bytes: Callable[[L], int]


AnyScenario = Scenario[Any]


def check_digests(scenario: str, name: str, got: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises WrongBytes unless each client has what it must have, in any order."""
    if sorted(got) != sorted(wanted):
        raise WrongBytes(f"{scenario}: {name}: not all of {len(wanted)} clients got the bytes of the image")
