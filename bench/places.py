"""One image behind each server: hot, in memory already, or cold, before an origin that counts."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from bench.floor import Floor
from bench.glint import Images, file_path, glint_process
from bench.load import Downloads
from bench.measuring import Measured, verify, xxh3_of
from bench.origin import OriginProcess
from bench.session import Session
from tests.content import MIB, Content, Noise
from tests.glint import Glint
from tests.peers import CachingNginx, StaticNginx, Tuning, Varnish

FLOOR, NGINX, NGINX_CACHE, VARNISH, GLANCE = "floor", "nginx", "nginx proxy_cache", "varnish", "glance"
NGINX_CUBIC = "nginx, given cubic"
GLINT, GLINT_FILE, GLINT_SYSTEM = "glint", "glint file store", "glint, the system's congestion control"
STORE = "store alone"
# What nginx may be set to, where it can help; the best at each number of clients is measured against.
TUNINGS: Mapping[str, Tuning] = {
    "1 worker, 2 MiB": Tuning(),
    "1 worker, 512 KiB": Tuning(sendfile_max_chunk_kib=512),
    "2 workers, 2 MiB": Tuning(workers=2),
}
NO_DIGEST = "no digest"


def glint_name(workers: int) -> str:
    return GLINT if workers == 1 else f"{GLINT}, {workers} workers"


def tuned_name(tuning: str) -> str:
    return f"{NGINX} ({tuning})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the image can be had."""

    server: Measured
    job: Downloads


def place(server: Measured, port: int, path: str, size_bytes: int, headers: Mapping[str, str] | None = None) -> Place:
    job = Downloads(host="127.0.0.1", port=port, path=path, size_bytes=size_bytes, headers=headers or {})
    return Place(server=server, job=job)


@contextmanager
def hot_places(
    session: Session, content: Content, names: Collection[str], *, tunings: Collection[str] = ("1 worker, 2 MiB",)
) -> Iterator[dict[str, Place]]:
    """The same bytes behind every server named, downloaded once and right. NGINX stands for all `tunings`."""
    with ExitStack() as stack:
        folder = stack.enter_context(session.folder())
        www = folder / "www"
        www.mkdir()
        with (www / "image").open("wb") as file:
            for piece in content.pieces():
                file.write(piece)
        maker = _HotPlaces(session, stack, folder, content, tunings)
        found: dict[str, Place] = {}
        for name in names:
            found |= maker.made(name)
        expected = xxh3_of(content)
        for name, one in found.items():  # fills the caches, warms the rest
            verify(name, one.job, expected)
        yield found


class _HotPlaces:
    def __init__(
        self, session: Session, stack: ExitStack, folder: Path, content: Content, tunings: Collection[str]
    ) -> None:
        self._session, self._stack, self._folder, self._content = session, stack, folder, content
        self._www = folder / "www"
        self._tuned = {
            tuned_name(name): stack.enter_context(
                StaticNginx(folder / f"nginx{number}", self._www, tuning=TUNINGS[name])
            )
            for number, name in enumerate(tunings)
        }
        self._origin = next(iter(self._tuned.values()))

    def made(self, name: str) -> dict[str, Place]:
        size_bytes, enter = self._content.size_bytes, self._stack.enter_context
        match name:
            case "nginx":
                return {
                    tuned: place(server, server.port, "/image", size_bytes) for tuned, server in self._tuned.items()
                }
            case "nginx, given cubic" | "floor" | "nginx proxy_cache" | "varnish":
                peer = enter(self._peer(name))
                return {name: place(peer, peer.port, "/image", size_bytes)}
            case "glance":
                return {name: self._glance()}
            case _:
                return {name: self._glint(name)}

    def _peer(self, name: str) -> Floor | StaticNginx | CachingNginx | Varnish:
        folder = self._folder / name.replace(", ", "-").replace(" ", "-")
        match name:
            case "floor":
                return Floor(folder, self._www / "image")
            case "nginx, given cubic":
                return StaticNginx(folder, self._www, tuning=Tuning(workers=2, congestion_control="cubic"))
            case "nginx proxy_cache":
                return CachingNginx(folder, self._origin.url)
            case _:
                size_max_mib = 2 * self._content.size_bytes // MIB + 256
                return Varnish(folder, self._origin.url, size_max_mib=size_max_mib)

    def _glance(self) -> Place:
        """At uWSGI itself, without the nginx before it, which would only make it slower; uploads need that nginx."""
        identity, glance = self._session.peers
        token = identity.keystone.token("demo")
        front = Images(glance.front.port, token)
        image_id = front.create("hot")
        front.upload(image_id, self._content)
        Images(glance.port, token).download(image_id)
        return place(
            glance, glance.port, file_path(image_id), self._content.size_bytes, headers={"X-Auth-Token": token}
        )

    def _glint(self, name: str) -> Place:
        settings: dict[str, object] = {}
        if name == GLINT_SYSTEM:
            settings["server.tcp_congestion_control"] = None
        if name.endswith(" workers"):
            settings["server.workers"] = int(name.split()[-2])
        folder = self._folder / name.replace(", ", "-").replace(" ", "-")
        glint = self._stack.enter_context(glint_process(folder, settings=settings))
        images = Images(glint.port)
        if name == GLINT_FILE:
            image_id = images.create("uploaded")
            images.upload(image_id, self._content)
        else:
            image_id = images.register("behind http", f"{self._origin.url}/image", self._content.digest())
        return place(glint, glint.port, file_path(image_id), self._content.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdPlaces:
    """`fresh[name]()` is a place where the image was never asked for before."""

    origin: OriginProcess
    fresh: Mapping[str, Callable[[], Place]]


@contextmanager
def cold_places(
    session: Session, size_mib: int, names: Collection[str], *, rate_mib_s: int = 0
) -> Iterator[ColdPlaces]:
    """All before one origin. "glint, sha256" is Glint with images of that os_hash_algo, "glint" means sha512."""
    content = Noise(size_mib * MIB, seed=0)  # what the origin serves
    numbers = count()
    with ExitStack() as stack:
        folder = stack.enter_context(session.folder())
        origin = stack.enter_context(OriginProcess(size_mib, rate_mib_s))
        glints: dict[int, Glint] = {}

        def proxied(server: Measured, port: int) -> Callable[[], Place]:
            return lambda: place(server, port, f"/0?{next(numbers)}", content.size_bytes)

        def registered(glint: Glint, algorithm: str) -> Callable[[], Place]:
            digest = None if algorithm == NO_DIGEST else content.digest(algorithm)

            def fresh() -> Place:
                image_id = Images(glint.port).register(f"cold {next(numbers)}", origin.url, digest, algorithm)
                return place(glint, glint.port, file_path(image_id), content.size_bytes)

            return fresh

        fresh: dict[str, Callable[[], Place]] = {}
        for name in names:
            if name == STORE:
                fresh[name] = proxied(origin, origin.port)
            elif name == NGINX_CACHE:
                caching = stack.enter_context(CachingNginx(folder / "nginx-cache", origin.base_url))
                fresh[name] = proxied(caching, caching.port)
            elif name == VARNISH:
                size_max_mib = 4 * size_mib + 256  # the rounds of a bench, without evicting
                varnish = stack.enter_context(Varnish(folder / name, origin.base_url, size_max_mib=size_max_mib))
                fresh[name] = proxied(varnish, varnish.port)
            else:
                workers, algorithm = _parsed(name)
                if workers not in glints:
                    settings = {"server.workers": workers} if workers > 1 else None
                    glints[workers] = stack.enter_context(glint_process(folder / f"glint{workers}", settings=settings))
                fresh[name] = registered(glints[workers], algorithm)
        yield ColdPlaces(origin=origin, fresh=fresh)


def _parsed(name: str) -> tuple[int, str]:
    """Workers and algorithm, as in "glint, 2 workers" or "glint, sha256"."""
    _, _, rest = name.partition(", ")
    if rest.endswith(" workers"):
        return int(rest.split()[0]), "sha512"
    assert rest in {"", NO_DIGEST} or rest in hashlib.algorithms_available
    return 1, rest or "sha512"


def asked(one: Place, **changes: object) -> Downloads:
    """The place's job with other numbers."""
    return replace(one.job, **changes)  # type: ignore[arg-type]
