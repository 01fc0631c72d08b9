"""What a client process is asked to do and what it tells afterwards, as JSON lines between it and the bench."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloads:
    """Whole bodies, by many clients at once: each has one connection and asks `times` times, one after another.

    `digest` is "none" (bodies are dropped inside the kernel), "xxh3_128" or "sha512".
    """

    host: str
    port: int
    path: str
    size_bytes: int  # of one body; any other length is an error
    headers: Mapping[str, str] = field(default_factory=dict)
    clients: int = 1
    times: int = 1
    digest: str = "none"
    cores: tuple[int, ...] = ()  # empty: all
    told_s: float = 0.0  # how often to tell how far it is; 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Small answers, asked for as fast as they come: each connection has one request under way, for `seconds`."""

    host: str
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    clients: int = 1
    seconds: float = 1.0
    cores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened. `waits_s` are times from request to first body byte, for small answers to the last one."""

    seconds: float
    cpu_s: float = 0.0  # of the clients
    bodies: int = 0
    body_bytes: int = 0
    waits_s: list[float] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)  # of each body, if asked for
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
            errors=[error for part in parts for error in part.errors],
            sample=parts[0].sample,
        )


Job = Downloads | Requests


def dump(value: Job | Outcome) -> str:
    return json.dumps({"kind": type(value).__name__, **asdict(value)})


def parse_job(line: str) -> Job:
    document = json.loads(line)
    kind = document.pop("kind")
    document["cores"] = tuple(document["cores"])
    return Downloads(**document) if kind == "Downloads" else Requests(**document)


def parse_outcome(document: dict[str, object]) -> Outcome:
    return Outcome(**{name: value for name, value in document.items() if name != "kind"})  # type: ignore[arg-type]
