"""A real Swift on one device, with accounts of its own (tempauth) or Keystone's, and with S3 in front of the same."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.environments import ensure_environment
from tests.peers.identity_api import PASSWORD
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached
from tests.peers.ports import free_port
from tests.peers.server import Server
from tests.peers.swift_api import SwiftApi, SwiftFailed
from tests.peers.swift_config import files

DEFAULT_MAX_FILE_SIZE = 5 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SwiftOptions:
    max_file_size: int = DEFAULT_MAX_FILE_SIZE
    """Of one object, in bytes: more is refused with 413."""
    token_life_s: int = 86400
    """Of tempauth's tokens; Keystone's live as long as Keystone says."""
    node_timeout_s: float = 10.0
    """How long the proxy server waits for the object server; Swift's own default."""
    s3_part_min_bytes: int = 5 << 20
    """The least that S3's multipart upload takes as a part that is not the last."""


@dataclass(frozen=True, slots=True)
class S3Keys:
    access: str
    secret: str
    region: str = "us-east-1"


class ObjectServer:
    """The part of a Swift that holds the objects' bytes; account, container and proxy server go on without it."""

    def __init__(self, swift: "Swift") -> None:
        self._swift = swift

    @property
    def pid(self) -> int:
        return int((self._swift.directory / "object.pid").read_text())

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Takes connections and does not answer; goes on afterwards."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Its connections are cut, further ones refused; another one answers afterwards."""
        before = self.pid
        os.kill(before, signal.SIGKILL)
        try:
            yield
        finally:
            os.kill(self._swift.pid, signal.SIGUSR1)
            deadline = time.monotonic() + 30
            while self.pid == before or not self._swift.api.is_writable():
                if time.monotonic() > deadline:
                    raise TimeoutError("no other object server came up")
                time.sleep(0.02)


class Swift(Server):
    """A Swift with static and dynamic large objects, and S3. `url` serves both.

    With tempauth there are account `test` with users `tester` (its administrator, key `testing`) and `reader` (may do
    nothing, key `reading`), and account `other` with `owner` (key `owning`). With a Keystone the account is that of the
    project `demo`, its user `demo`; the catalogue of the Keystone then names this Swift as its object store.
    A stop keeps the objects, not tempauth's tokens. `close` ends memcached too.
    """

    def __init__(
        self, directory: Path, *, keystone: Keystone | None = None, options: SwiftOptions | None = None
    ) -> None:
        super().__init__("swift", directory, stop_s=0.5)
        self.options = options or SwiftOptions()
        self.keystone = keystone
        self.memcached = Memcached(directory / "memcached")
        self.port = free_port()
        self._back_ports = [free_port() for _ in range(3)]
        self.url = f"http://127.0.0.1:{self.port}"
        self.auth_url = f"{self.url}/auth/v1.0" if keystone is None else keystone.url
        self.user, self.key = ("test:tester", "testing") if keystone is None else ("demo:demo", PASSWORD)
        self.objects = ObjectServer(self)
        self._s3: S3Keys | None = None
        self._keys_lock = threading.Lock()
        self.api = SwiftApi(self.port, self._new_token)

    def start(self) -> None:
        with self._lock:
            if not self.memcached.is_running:
                self.memcached.start()
            if self.keystone is not None and not self.api.account:
                self.keystone.api.set_endpoint("swift", "object-store", f"{self.url}/v1/AUTH_%(project_id)s")
                self.api.account = f"AUTH_{self.keystone.project_id('demo')}"
            elif self.keystone is None:
                self.api.account = "AUTH_test"
            super().start()

    def close(self) -> None:
        with self._lock:
            self.stop()
            self.memcached.close()

    @property
    def storage_url(self) -> str:
        return f"{self.url}/v1/{self.api.account}"

    @property
    def s3(self) -> S3Keys:
        """The account's keys. Its buckets are its containers."""
        if self.keystone is None:
            return S3Keys(self.user, self.key)
        with self._keys_lock:
            self._s3 = self._s3 or S3Keys(*self.keystone.api.ec2_keys("demo", "demo"))
            return self._s3

    def forget_tokens(self) -> None:
        """Tempauth's tokens are void from now on; those of Keystone are validated anew with the next request."""
        self.memcached.flush()

    def _new_token(self) -> str:
        if self.keystone is not None:
            return self.keystone.token("demo")
        headers = {"X-Auth-User": self.user, "X-Auth-Key": self.key}
        return self.api.plain("GET", "/auth/v1.0", headers=headers)[0]["X-Auth-Token"]

    def _prepare(self) -> None:
        (self.directory / "devices" / "d0").mkdir(parents=True, exist_ok=True)
        values = {
            "memcached": self.memcached.address,
            "max_file_size": str(self.options.max_file_size),
            "s3_part_min_bytes": str(self.options.s3_part_min_bytes),
            "node_timeout_s": str(self.options.node_timeout_s),
            "token_life_s": str(self.options.token_life_s),
            "keystone": self.keystone.url if self.keystone else "",
            "password": PASSWORD,
        }
        for name, content in files(str(self.directory), values).items():
            (self.directory / name).write_text(content)

    def _command(self) -> Sequence[str | Path]:
        program = Path(__file__).with_name("swift_process.py")
        python = ensure_environment("swift") / "bin" / "python"
        ports = [str(port) for port in (self.port, *self._back_ports)]
        return [python, "-I", "-W", "ignore", program, self.directory, *ports]

    def _answers(self) -> bool:
        try:
            return self.api.is_writable()
        except SwiftFailed:
            return False
