"""`make demo`: a cold and a hot delivery of one image to many clients at once, with every digest looked at."""

import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.table import Table

from bench import processes
from bench.glint import Images, file_path, glint_process
from bench.load import Downloads, Outcome
from bench.loading import Clients
from bench.measuring import xxh3_of
from bench.origin import OriginProcess, Seen
from tests.content import GIB, MIB, Noise
from tests.glint import Glint

_PROCESSES = 2  # client processes; each drives its part of the clients
_TOLD_S = 0.1
_SPARE_BYTES = 256 * MIB  # of disk, beside the one copy in the cache

_HOW_DIGESTED = (
    "Each client digests its body by XXH3-128 while it arrives: by SHA-512 the clients would be what is measured, as "
    "they share the machine with Glint. Glint compared the fill with the image's SHA-512. One more client did so after "
    "the measured ones:"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One time all clients got the image. `right` counts the digests that were as they must be."""

    name: str
    clients: int
    outcome: Outcome
    right: int
    cpu_s: float
    store: Seen

    @property
    def delivered_gib(self) -> float:
        return self.outcome.body_bytes / GIB

    @property
    def is_right(self) -> bool:
        return self.right == self.clients and not self.outcome.errors


class Demo:
    """Glint, an origin and an image behind it."""

    def __init__(self, glint: Glint, origin: OriginProcess, image_id: str, content: Noise) -> None:
        self._glint, self._origin, self._image_id, self._content = glint, origin, image_id, content
        self._xxh3 = xxh3_of(content)

    def deliver(self, name: str, clients: int, told: Callable[[int], None]) -> Delivery:
        """All at once; `told` hears how many bytes they have together."""
        counts = [clients // _PROCESSES + (number < clients % _PROCESSES) for number in range(_PROCESSES)]
        jobs = [self._job(count, "xxh3_128") for count in counts if count]
        so_far = dict.fromkeys(range(len(jobs)), 0)
        lock = threading.Lock()

        def hear(process: int, body_bytes: int) -> None:
            with lock:
                so_far[process] = body_bytes
                told(sum(so_far.values()))

        before, began_s = self._origin.seen(), processes.cpu_s(self._glint.pid)
        with Clients(jobs) as running:
            outcome = running.run(hear)
        told(outcome.body_bytes)
        cpu_s, after = processes.cpu_s(self._glint.pid) - began_s, self._origin.seen()
        return Delivery(
            name=name,
            clients=clients,
            outcome=outcome,
            right=outcome.digests.count(self._xxh3),
            cpu_s=cpu_s,
            store=Seen(gets=after.gets - before.gets, sent_bytes=after.sent_bytes - before.sent_bytes),
        )

    def has_sha512(self) -> bool:
        """One more client, whose SHA-512 is compared with what the registry says."""
        with Clients([self._job(1, "sha512")]) as client:
            return client.run().digests == [Images(self._glint.port).show(self._image_id)["os_hash_value"]]

    def _job(self, clients: int, digest: str) -> Downloads:
        return Downloads(
            host="127.0.0.1",
            port=self._glint.port,
            path=file_path(self._image_id),
            size_bytes=self._content.size_bytes,
            clients=clients,
            digest=digest,
            told_s=_TOLD_S,
        )


def main(
    size_mib: Annotated[int, typer.Option(min=1, help="Size of the image.")] = 1024,
    clients: Annotated[int, typer.Option(min=1, help="Clients at once.")] = 16,
) -> None:
    """Deliver an image cold, then hot, to all clients at once. Fails on a wrong digest or a second store read."""
    console = Console()
    needed_bytes = size_mib * MIB + _SPARE_BYTES
    with tempfile.TemporaryDirectory(prefix="glint-demo-") as name:
        free_bytes = shutil.disk_usage(name).free
        if free_bytes < needed_bytes:
            console.print(
                f"[red]The demo needs {needed_bytes / GIB:.1f} GiB in {name}; {free_bytes / GIB:.1f} are free."
            )
            sys.exit(1)
        deliveries, is_sha512_right = _run(console, Path(name), size_mib, clients)
    is_right = _show(console, deliveries, is_sha512_right=is_sha512_right, size_mib=size_mib)
    sys.exit(0 if is_right else 1)


def _run(console: Console, directory: Path, size_mib: int, clients: int) -> tuple[list[Delivery], bool]:
    content = Noise(size_mib * MIB, seed=0)
    with ExitStack() as stack:
        with console.status("starting an origin and Glint, computing the digests of the image"):
            origin = stack.enter_context(OriginProcess(size_mib))
            glint = stack.enter_context(glint_process(directory))
            image_id = Images(glint.port).register("demo", origin.url, content.digest())
            demo = Demo(glint, origin, image_id, content)
        console.print(
            f"An image of {size_mib} MiB is registered behind [b]{origin.url}[/]; Glint serves at [b]{glint.url}[/]."
        )
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(True), TransferSpeedColumn())
        progress = stack.enter_context(Progress(*columns, TimeElapsedColumn(), console=console))
        deliveries = []
        for name in ("cold", "hot"):
            task = progress.add_task(f"{name}: {clients} clients at once", total=clients * content.size_bytes)
            deliveries.append(
                demo.deliver(name, clients, lambda done, task=task: progress.update(task, completed=done)),  # type: ignore[misc]
            )
        return deliveries, demo.has_sha512()


_ROWS: Sequence[tuple[str, Callable[[Delivery], str]]] = (
    ("right digests", lambda one: f"[{'green' if one.is_right else 'red'}]{one.right} of {one.clients}"),
    ("store reads", lambda one: str(one.store.gets)),
    ("read from the store", lambda one: f"{one.store.sent_bytes / MIB:.0f} MiB"),
    ("delivered", lambda one: f"{one.outcome.body_bytes / MIB:.0f} MiB"),
    ("seconds", lambda one: f"{one.outcome.seconds:.2f}"),
    ("throughput", lambda one: f"{one.delivered_gib / one.outcome.seconds:.2f} GiB/s"),
    ("first byte p50", lambda one: f"{statistics.median(one.outcome.waits_s or [0.0]) * 1000:.0f} ms"),
    ("cost of Glint", lambda one: f"{one.cpu_s / max(one.delivered_gib, 1e-9):.2f} CPU-s/GiB"),
)


def _show(console: Console, deliveries: list[Delivery], *, is_sha512_right: bool, size_mib: int) -> bool:
    """Print what was seen; whether all of it is as it must be."""
    table = Table(title=f"One image of {size_mib} MiB, {deliveries[0].clients} clients at once", title_justify="left")
    table.add_column("")
    for one in deliveries:
        table.add_column(one.name, justify="right")
    for heading, value in _ROWS:
        table.add_row(heading, *(value(one) for one in deliveries))
    console.print(table)
    for error in {error for one in deliveries for error in one.outcome.errors}:
        console.print(f"[red]A client failed: {error}")
    said = "[green]right[/]" if is_sha512_right else "[red]WRONG[/]"
    console.print(f"{_HOW_DIGESTED} {said}.")
    return (
        is_sha512_right and sum(one.store.gets for one in deliveries) == 1 and all(one.is_right for one in deliveries)
    )


if __name__ == "__main__":
    typer.run(main)
