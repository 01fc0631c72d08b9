"""What a client process is asked to do and what it tells afterwards, as JSON lines between it and the bench."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Random parts of a body. `spans` gives the same ones to the client, who asks, and to the bench, who compares."""

    length_min_bytes: int
    length_max_bytes: int
    seed: int = 0

    def spans(self, client: int, count: int, size_bytes: int) -> list[tuple[int, int]]:
        """First byte and the one after the last, for each part that one client asks for."""
        random = Random(f"{self.seed} {client}")
        found = []
        for _ in range(count):
            length = random.randint(self.length_min_bytes, min(self.length_max_bytes, size_bytes))
            start = random.randint(0, size_bytes - length)
            found.append((start, start + length))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloads:
    """Bodies, by many clients at once: each has one connection and asks again and again, `times` times.

    `digest` is "none" (bodies are dropped inside the kernel), "xxh3_128" or a name of hashlib.
    """

    host: str
    port: int
    path: str
    size_bytes: int  # of the whole; any other length is an error
    headers: Mapping[str, str] = field(default_factory=dict)
    clients: int = 1
    times: int = 1
    seconds: float = 0.0  # instead of `times`: until so long has passed, which cuts the bodies under way; 0: `times`
    ranges: Ranges | None = None  # parts in place of wholes, one digest a client over all of its parts
    digest: str = "none"
    cores: tuple[int, ...] = ()  # empty: all
    told_s: float = 0.0  # how often to tell how far it is; 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDownloads:
    """The first `stop_bytes` of a body for each of many clients, who read `rate_bytes_s` each and then leave."""

    host: str
    port: int
    path: str
    size_bytes: int
    stop_bytes: int
    rate_bytes_s: int
    apart_bytes: int = 0  # unless 0 a client asks for just these bytes, and each so much further on than the one before
    headers: Mapping[str, str] = field(default_factory=dict)
    clients: int = 1
    cores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Small answers, for `seconds`: each connection has one request under way, or waits `pause_s` before the next."""

    host: str
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    clients: int = 1
    seconds: float = 1.0
    delay_s: float = 0.0  # before the first request, for other load to be there
    pause_s: float = 0.0  # so that who answers sooner is not asked more; 0: as fast as answers come
    cores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened. `waits_s` are times from request to first body byte, for small answers and parts to the last one.

    Who still waited when the time was over is in `waits_s` with the time so far, and in `unanswered`.
    """

    seconds: float
    cpu_s: float = 0.0  # of the clients
    bodies: int = 0
    body_bytes: int = 0
    waits_s: list[float] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)  # of each body, if asked for
    unanswered: int = 0
    errors: list[str] = field(default_factory=list)  # one for each body that was not as it must be
    sample: str = ""  # the last small answer

    @classmethod
    def merged(cls, parts: list[Self]) -> Self:
        """Of processes that ran side by side."""
        return cls(
            seconds=max(part.seconds for part in parts),
            cpu_s=sum(part.cpu_s for part in parts),
            bodies=sum(part.bodies for part in parts),
            body_bytes=sum(part.body_bytes for part in parts),
            waits_s=[wait for part in parts for wait in part.waits_s],
            digests=[digest for part in parts for digest in part.digests],
            unanswered=sum(part.unanswered for part in parts),
            errors=[error for part in parts for error in part.errors],
            sample=parts[0].sample,
        )


Job = Downloads | SlowDownloads | Requests
_KINDS: Mapping[str, type[Job]] = {kind.__name__: kind for kind in (Downloads, SlowDownloads, Requests)}


def dump(value: Job | Outcome) -> str:
    return json.dumps({"kind": type(value).__name__, **asdict(value)})


def parse_job(line: str) -> Job:
    document = json.loads(line)
    kind = _KINDS[document.pop("kind")]
    document["cores"] = tuple(document["cores"])
    if document.get("ranges"):
        document["ranges"] = Ranges(**document["ranges"])
    return kind(**document)


def parse_outcome(document: dict[str, object]) -> Outcome:
    return Outcome(**{name: value for name, value in document.items() if name != "kind"})  # type: ignore[arg-type]
