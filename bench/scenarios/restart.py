"""`restart`: from starting a server to its first hit, with few and with many images in its cache."""

import hashlib
import http.client
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench import processes
from bench.glint import Images, file_path, glint_process
from bench.measuring import Run, WrongBytes
from bench.places import GLINT, NGINX_CACHE
from bench.results import Column
from bench.session import Scenario, Session
from tests.content import KIB, MIB, Noise
from tests.glint import Glint
from tests.peers import CachingNginx, Server, StaticNginx

NAME = "restart"
EXPECTED = """\
Glint's start is that of Python and its libraries, 1 to 1.5 s here; the first hit needs no index and comes with the
first answer, with one entry or 100,000. The index is compared with the folder meanwhile: 100,000 names and sizes take
some seconds. nginx answers after 20 ms and looks for the file. Varnish keeps nothing, Glance has no such cache here."""
_SIZE_BYTES = 4 * KIB  # of each image: what is measured does not depend on it
_WAIT_S = 600.0
_PIPELINED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    entries: tuple[int, ...]
    rounds: int


SMALL = Load(entries=(20,), rounds=1)
REAL = Load(entries=(1, 100_000), rounds=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stopped:
    """A server with its cache, and the image that it has there."""

    server: Server
    path: str


def run(session: Session, load: Load) -> list[Run]:
    """Interleaved. The origin is gone: what is answered comes from the cache. Raises WrongBytes."""
    runs: list[Run] = []
    content = Noise(_SIZE_BYTES, seed=1)
    for entries in load.entries:
        with _filled(session, content, entries) as found:
            for turn in range(1, load.rounds + 1):
                for name, stopped in found.items():
                    done = _restarted(session, name, stopped, content, entries, turn)
                    index = f", whole index after {done.figures['index_s']:.2f} s" if done.figures else ""
                    session.add(runs, done, f"first hit after {done.seconds:.2f} s{index}")
    return runs


def _restarted(session: Session, name: str, stopped: _Stopped, content: Noise, entries: int, turn: int) -> Run:
    server = stopped.server
    began_s = time.perf_counter()
    try:
        server.start()  # returns with its first answer
        body = _body(server.port, stopped.path)
        seconds = time.perf_counter() - began_s
        cpu_s, memory = processes.cpu_s(server.pid), processes.memory(server.pid)
        figures = {}
        if isinstance(server, Glint):
            _wait_for_entries(server, entries)
            figures["index_s"] = time.perf_counter() - began_s
            memory = processes.memory(server.pid)
    finally:
        server.stop()
    if hashlib.sha256(body).hexdigest() != content.digest("sha256"):
        raise WrongBytes(f"{NAME}: {name}: the first hit is not the image")
    return Run(
        scenario=NAME,
        server=name,
        round=turn,
        case=f"{entries:,} images",
        clients=1,
        bodies=1,
        body_bytes=len(body),
        seconds=seconds,
        cpu_s=cpu_s,
        client_cpu_s=0.0,
        wait_p50_s=seconds,
        wait_p99_s=seconds,
        rss_before_bytes=0,
        rss_peak_bytes=memory.rss_peak_bytes,
        pss_after_bytes=memory.pss_bytes,
        verified=1,
        server_cores=session.cores.server,
        client_cores=session.cores.client,
        figures=figures,
    )


@contextmanager
def _filled(session: Session, content: Noise, entries: int) -> Iterator[Mapping[str, _Stopped]]:
    """Both with so many images in their caches, stopped."""
    with ExitStack() as stack:
        folder = stack.enter_context(session.folder())
        (folder / "www").mkdir()
        (folder / "www" / "image").write_bytes(content.read())
        with StaticNginx(folder / "nginx", folder / "www") as origin:
            glint = glint_process(folder / "glint")
            stack.callback(glint.close)
            with glint:
                image_id = Images(glint.port).register("restart", f"{origin.url}/image", content.digest())
                _body(glint.port, file_path(image_id))
                _wait_for_entries(glint, 1)
            caching = CachingNginx(folder / "nginx-cache", origin.url)
            stack.callback(caching.close)
            with caching:
                _ask_for_many(caching.port, entries)
        _multiply(glint.cache_dir, image_id, entries - 1)
        with glint:  # takes the new files into its index, as after a crash; the starts that count find it whole
            _wait_for_entries(glint, entries)
        yield {
            GLINT: _Stopped(server=glint, path=file_path(image_id)),
            NGINX_CACHE: _Stopped(server=caching, path="/image?0"),
        }


def _multiply(cache_dir: Path, image_id: str, copies: int) -> None:
    """Lay the files of a real entry down again under other keys, as if so many images had been cached."""
    files = [path for path in cache_dir.rglob(f"{image_id}*") if path.is_file()]
    assert files
    assert all(path.parent.name == image_id[:2] for path in files)
    kinds = [
        (path.parent.parent, path.name.removeprefix(image_id), path.read_bytes(), path.stat().st_mode & 0o777)
        for path in files
    ]
    random = Random(0)
    for _ in range(copies):
        key = str(uuid.UUID(int=random.getrandbits(128), version=4))
        for root, suffix, data, mode in kinds:
            parent = root / key[:2]
            parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(parent / f"{key}{suffix}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            try:
                os.fchmod(fd, mode)  # whatever the umask
                os.write(fd, data)
            finally:
                os.close(fd)


def _wait_for_entries(glint: Glint, entries: int) -> None:
    deadline = time.monotonic() + _WAIT_S
    while (found := glint.metrics().value("glint_cache_entries")) < entries:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found:.0f} of {entries} entries after {_WAIT_S:g} s")
        time.sleep(0.02)


def _body(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise WrongBytes(f"{NAME}: status {answer.status} for {path}")
    return body


def _ask_for_many(port: int, count: int) -> None:
    """So many objects in the proxy's cache. All answers are equally long, so they can be asked for in batches."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(_request(0))
        length = len(_read_first(connection))
        for first in range(1, count, _PIPELINED):
            numbers = range(first, min(count, first + _PIPELINED))
            connection.sendall(b"".join(_request(number) for number in numbers))
            left = length * len(numbers)
            while left:
                got = connection.recv(min(left, MIB))
                if not got:
                    raise WrongBytes(f"{NAME}: {NGINX_CACHE} closed while it was filled")
                left -= len(got)


def _request(number: int) -> bytes:
    return f"GET /image?{number} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def _read_first(connection: socket.socket) -> bytes:
    got = b""
    while len(got.partition(b"\r\n\r\n")[2]) < _SIZE_BYTES:
        got += connection.recv(MIB)
    return got


SCENARIO = Scenario(
    name=NAME,
    title="Restart: from start to the first hit",
    expected=EXPECTED,
    small=SMALL,
    real=REAL,
    run=run,
    columns=(
        Column("first hit s", lambda run: run.seconds, ".2f"),
        Column("whole index s", lambda run: run.figures.get("index_s"), ".2f"),
        Column("CPU s to first hit", lambda run: run.cpu_s, ".2f"),
        Column("PSS MiB", lambda run: run.pss_after_bytes / MIB, ".0f"),
    ),
    ours=(GLINT,),
    theirs=(NGINX_CACHE,),
    ratios=("first hit s",),
    plots=("first hit s", "whole index s"),
    disk_bytes=lambda load: max(load.entries) * 4 * _SIZE_BYTES,
)
