"""A real `glint serve` in a process of its own, for tests and benches. `async with` does as well as `with`.

with Origin() as origin, Glint(tmp_path, {"cache.size_max": "64 MiB"}) as glint:
    disk = origin.add("disk", Noise(MIB))
    image_id = glint.register(origin.url("disk"), disk)
    assert glint.get(f"/v2/images/{image_id}/file").content == disk.read()
    glint.until_counted(1, "glint_downloads_total", outcome="miss")
    assert glint.run("cache", "evict", image_id).returncode == 0
"""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.content import Content
from tests.peers.ports import free_port
from tests.peers.server import Guard, Server
from tests.preloaded import driver

# -P: the working folder has a cache/ of its own, which is no package.
_PROGRAM = ("-P", "-c", "from proxy.cli import main; main()")
_HOST = "127.0.0.1"

LEFT_OUT = object()
"""As a setting's value: the key is not written at all, also where a test's configuration usually has it."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Metrics:
    """The numbers of one moment."""

    def __init__(self, text: str) -> None:
        self.samples: Sequence[Sample] = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have these labels; 0 if there are none."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        )


class Glint(Server):
    """`glint serve` on free ports, with everything it writes in `directory`. See the module's text.

    `settings` are keys of config.yaml, dotted or nested: {"cache.size_max": "64 MiB"}, {"cache": {"fills_max": 1}}.
    They may be changed between a stop and the next start, which keeps ports, cache and registry. `stop` is a SIGTERM,
    and a SIGKILL when `stop_s` are over, which is for one that hangs; `kill` is a SIGKILL. Its workers are forks of it;
    they are programs, as an operator's, if it is one itself (see `_is_preloaded`) or `forks_workers` is false.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        name: str = "glint",
        stop_s: float = 60.0,
        forks_workers: bool = True,
    ) -> None:
        super().__init__(name, directory, stop_s=stop_s)
        self.settings = dict(settings or {})
        self.environment = dict(environment or {})
        self._forks_workers = forks_workers
        self.config_path = directory / "config.yaml"
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://{_HOST}:{self.port}"

    @property
    def log(self) -> str:
        """All it has logged so far, over all starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def cache_dir(self) -> Path:
        return self.directory / "cache"

    @property
    def worker_pids(self) -> list[int]:
        """The processes that answer for it when server.workers is not 1, the oldest first."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        """One exchange on a connection of its own, whatever its status. A body of bytes goes as it is, else as JSON."""
        sent = {"X-Auth-Token": token} if token else {}
        if isinstance(body, bytes):
            sent["Content-Type"] = "application/octet-stream"
        elif body is not None:
            sent["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        return _exchange(self.port, method, path, body, sent | dict(headers or {}), timeout_s)

    def get(self, path: str, *, token: str | None = None) -> Answer:
        return self.request("GET", path, token=token)

    def metrics(self) -> Metrics:
        return Metrics(_exchange(self.metrics_port, "GET", "/metrics", None, {}, 30).content.decode())

    def until_counted(self, number: float, name: str, **labels: str) -> None:
        """Wait for a sum of samples. What a client has received is counted a moment later."""
        deadline = time.monotonic() + 30
        while (value := self.metrics().value(name, **labels)) != number:
            assert time.monotonic() < deadline, f"{name}{labels} is {value:g}, not {number:g}"
            time.sleep(0.02)

    def create(self, *, token: str | None = None, **fields: Any) -> str:
        """The id of a new raw image without data."""
        document = {"disk_format": "raw", "container_format": "bare"} | fields
        return str(_good(self.request("POST", "/v2/images", document, token=token)).json["id"])

    def register(
        self,
        url: str,
        content: Content | None = None,
        *,
        algorithm: str = "sha512",
        token: str | None = None,
        **fields: Any,
    ) -> str:
        """The id of a new image whose data lies at `url`, with the digest of `content` if that is given."""
        image_id = self.create(token=token, **fields)
        location: dict[str, Any] = {"url": url}
        if content is not None:
            digest = content.digest(algorithm)
            location["validation_data"] = {"os_hash_algo": algorithm, "os_hash_value": digest}
        _good(self.request("POST", f"/v2/images/{image_id}/locations", location, token=token))
        return image_id

    def upload(self, data: bytes, *, token: str | None = None, **fields: Any) -> str:
        """The id of a new image with this data in the default store."""
        image_id = self.create(token=token, **fields)
        _good(self.request("PUT", f"/v2/images/{image_id}/file", data, token=token))
        return image_id

    def command(self, *arguments: str | Path) -> list[str]:
        """A command line for `glint ARGUMENTS…`, to be run in `environment_of_commands`."""
        return [sys.executable, *_PROGRAM, *map(str, arguments)]

    @property
    def environment_of_commands(self) -> dict[str, str]:
        """Names the service's configuration. Nothing of the environment of the tests is in it."""
        base = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.directory)}
        return base | dict(self._environment())

    def run(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None, timeout_s: float = 200.0
    ) -> subprocess.CompletedProcess[str]:
        """Run another `glint` command beside the service, with the service's configuration."""
        variables = self.environment_of_commands | dict(environment or {})
        if self._is_preloaded:
            forks = self._forks_workers
            return driver().run(arguments, variables, self.directory, timeout_s=timeout_s, forks_workers=forks)
        return subprocess.run(
            self.command(*arguments),
            env=variables,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def _environment(self) -> Mapping[str, str]:
        # The sources beside this file, whatever is installed.
        root = str(Path(__file__).parents[1])
        return {"GLINT_CONFIG": str(self.config_path), "PYTHONPATH": root} | self.environment

    def _prepare(self) -> None:
        document: dict[str, Any] = {}
        for dotted, value in [*self._defaults().items(), *self.settings.items()]:
            _put(document, dotted.split("."), value)
        self.config_path.write_text(yaml.safe_dump(document, sort_keys=False))

    def _defaults(self) -> dict[str, Any]:
        return {
            "server": {"host": _HOST, "port": self.port, "drain_s": 5},
            "metrics": {"host": _HOST, "port": self.metrics_port},
            "cache": {"dir": "cache", "size_max": "1 GiB"},
            "stores": {
                "default": "local",
                "backends": {"local": {"kind": "file", "dir": "images"}, "web": {"kind": "http"}},
            },
            "registry": {"kind": "sql", "url": "sqlite:///registry.db"},
            "api": {"do_secure_hash": False},  # who counts what is read of a store reads it himself
            "logging": {"level": "debug", "format": "json"},
        }

    def _command(self) -> Sequence[str | Path]:
        return self.command(*self._arguments)

    @property
    def _arguments(self) -> Sequence[str | Path]:
        return ("serve", "--config", self.config_path)

    @property
    def _is_preloaded(self) -> bool:
        """Whether commands are forks of one process that has loaded Glint, which saves the time of that.

        Not if a test starts it by another command, or adds to its environment what Python has to see at its start.
        """
        seen_at_the_start = any(name.startswith("PYTHON") for name in self.environment)
        return not seen_at_the_start and type(self)._command is Glint._command

    def _guarded(self, environment: Mapping[str, str], log: IO[bytes]) -> Guard:
        if not self._is_preloaded:
            return super()._guarded(environment, log)
        return driver().start(
            self._arguments,
            environment,
            self.directory,
            out=log,
            err=log,
            grace_s=self._stop_s,
            forks_workers=self._forks_workers,
        )

    def _answers(self) -> bool:
        return _exchange(self.port, "GET", "/healthcheck", None, {}, 5).status in {200, 503}


def _exchange(
    port: int, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
) -> Answer:
    with closing(http.client.HTTPConnection(_HOST, port, timeout=timeout_s)) as connection:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def _good(answer: Answer) -> Answer:
    assert answer.status < 300, f"{answer.status}: {answer.content.decode(errors='replace')}"
    return answer


def _put(document: dict[str, Any], parts: Iterable[str], value: Any) -> None:
    """Set one key. A section given whole is laid over what is there, key by key."""
    first, *rest = parts
    if rest:
        _put(document.setdefault(first, {}), rest, value)
    elif isinstance(value, Mapping):
        place = document.setdefault(first, {})
        for key, inner in value.items():
            _put(place, [key], inner)
    elif value is LEFT_OUT:
        document.pop(first, None)
    else:
        document[first] = value
