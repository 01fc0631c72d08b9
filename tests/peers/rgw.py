"""Ceph's S3 gateway."""

import http.client
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.peers.ceph import COMMAND_S, Ceph
from tests.peers.ceph_template import GATEWAY
from tests.peers.debian import program
from tests.peers.ports import free_port
from tests.peers.server import Server, ServerFailed


class Rgw(Server):
    """S3 over a Ceph that runs. Path and virtual addressing; one user, whose keys are `access_key`, `secret_key`."""

    def __init__(self, directory: Path, ceph: Ceph) -> None:
        super().__init__("radosgw", directory)
        self.ceph = ceph
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.region = "us-east-1"
        self.access_key, self.secret_key = "glint", "glint-secret"

    def admin(self, *arguments: str) -> str:
        """What radosgw-admin prints."""
        command = [program("radosgw-admin"), *self._as_gateway, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        if done.returncode != 0:
            raise ServerFailed(self.name, f"{' '.join(arguments[:2])} failed: {done.stderr}", self.log_path)
        return done.stdout

    def buckets(self) -> list[str]:
        names: list[str] = json.loads(self.admin("bucket", "list"))
        return names

    @property
    def _as_gateway(self) -> list[str | Path]:
        return ["-c", self.ceph.config, "-n", f"client.{GATEWAY}"]

    def _prepare(self) -> None:
        if (self.directory / "made").exists():
            return
        keys = ["--access-key", self.access_key, "--secret-key", self.secret_key]
        self.admin("user", "create", "--uid", "glint", "--display-name", "glint", *keys)
        (self.directory / "made").touch()

    def _command(self) -> Sequence[str | Path]:
        frontend = ["--rgw-frontends", f"beast endpoint=127.0.0.1:{self.port}", "--rgw-thread-pool-size", "64"]
        names = ["--rgw-dns-name", "localhost"]
        return [program("radosgw"), *self._as_gateway, "-f", *frontend, *names]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return b"ListAllMyBucketsResult" in connection.getresponse().read()
        finally:
            connection.close()
