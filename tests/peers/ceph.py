"""A real Ceph: one monitor and one OSD, with the pool and the user that operators make for Glance."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.peers.ceph_template import (
    POOL,
    STORE_BYTES,
    USER,
    ObjectStore,
    ensure_template,
    monitor_map,
    write_config,
)
from tests.peers.debian import program
from tests.peers.ports import free_port
from tests.peers.server import Server, ServerFailed

COMMAND_S = 60.0
_RATIOS = {"nearfull": 0.85, "backfillfull": 0.9, "full": 0.95}  # Ceph's own
_FULL_BYTES = 2 << 20


class Monitor(Server):
    """Tells clients where the data are, and whether they may have them."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__("ceph-mon", directory)
        self.port = port

    def _prepare(self) -> None:
        """Its directory is made by `Ceph`."""

    def _command(self) -> Sequence[str | Path]:
        return [program("ceph-mon"), "-c", self.directory / "ceph.conf", "-f", "-i", "a"]

    def _answers(self) -> bool:
        options: list[str | Path] = ["-c", self.directory / "ceph.conf", "--connect-timeout", "20"]
        command: list[str | Path] = [program("ceph"), *options, "mon", "stat"]
        return subprocess.run(command, capture_output=True, check=False, timeout=COMMAND_S).returncode == 0


class Ceph(Server):
    """A Ceph with cephx, the pool `images` and the user `glint`. Its own process is the OSD; `mon` is the monitor.

    A client needs `config` and `user`. With memstore, the data are in memory, and gone when the OSD stops: then
    nothing brings the cluster back. All clusters have the same `fsid` and the same keys.
    """

    def __init__(self, directory: Path, *, store: ObjectStore = "memstore") -> None:
        super().__init__("ceph-osd", directory)
        self._store = store
        self.pool, self.user = POOL, USER
        self.mon = Monitor(directory, free_port())
        self.config = directory / "ceph.conf"
        self.fsid = ""  # known once it has been started

    def start(self) -> None:
        with self._lock:
            if not self.fsid:
                self._make()
            if not self.mon.is_running:
                self.mon.start()
            super().start()

    def close(self) -> None:
        with self._lock:
            self.stop()
            self.mon.close()

    def rbd(self, *arguments: str | Path) -> str:
        """What the command prints: a look at the pool, and a hand in it, that goes past Glint."""
        return self._output([program("rbd"), "-c", self.config, "--id", USER, *arguments])

    def ceph(self, *arguments: str) -> str:
        """As the cluster's administrator."""
        return self._output([program("ceph"), "-c", self.config, "--connect-timeout", "20", *arguments])

    def objects(self) -> list[str]:
        """All names in the pool."""
        return self._output([program("rados"), "-c", self.config, "--id", USER, "-p", POOL, "ls"]).split()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Nothing more may be written. It must have some MiB of data: what is removed may make it less than full."""
        with closing(_Administrator(self.config)) as administrator:
            try:
                administrator.set_ratios(dict.fromkeys(_RATIOS, _FULL_BYTES / STORE_BYTES))
                administrator.wait_until_full(self.pool)
                yield
            finally:
                administrator.set_ratios(_RATIOS)
                administrator.wait_until_full(self.pool, is_full=False)

    def _output(self, command: list[str | Path]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        if done.returncode != 0:
            raise ServerFailed(self.name, f"did not obey {command[0]}: {done.stderr}", self.log_path)
        return done.stdout

    def _make(self) -> None:
        template = ensure_template(self._store)
        # cp keeps the holes of a store's file, which is as large as a disk.
        subprocess.run(["cp", "-a", "--sparse=always", f"{template}/.", self.directory], check=True, timeout=COMMAND_S)
        fsid = (template / "fsid").read_text()
        write_config(self.directory, fsid=fsid, port=self.mon.port, store=self._store)
        new_map = monitor_map(self.directory, fsid, self.mon.port)
        monitor: list[str | Path] = [program("ceph-mon"), "-c", self.config, "-i", "a"]
        subprocess.run([*monitor, "--inject-monmap", new_map], check=True, capture_output=True, timeout=COMMAND_S)
        self.fsid = fsid

    def _prepare(self) -> None:
        """See `_make`, which comes before the monitor."""

    def _command(self) -> Sequence[str | Path]:
        # It looks whether it is full with each heartbeat.
        return [program("ceph-osd"), "-c", self.config, "-f", "-i", "0", "--osd_heartbeat_interval=1"]

    def _answers(self) -> bool:
        """The command waits by itself until the OSD has the pool, and looks each 5 s if nobody says otherwise."""
        self.rbd("ls", POOL, "--objecter_tick_interval=0.1")
        return True


class _Administrator:
    """A connection for many commands, each of which would cost a process."""

    def __init__(self, config: Path) -> None:
        self._client: Any = import_module("rados").Rados(conffile=str(config))
        self._client.conf_set("rados_mon_op_timeout", str(int(COMMAND_S)))
        self._client.connect()

    def close(self) -> None:
        self._client.shutdown()

    def set_ratios(self, ratios: Mapping[str, float]) -> None:
        for name, ratio in ratios.items():
            self._tell(f"osd set-{name}-ratio", ratio=ratio)

    def wait_until_full(self, pool: str, *, is_full: bool = True) -> None:
        deadline_s = time.monotonic() + COMMAND_S
        while ("full" in self._flags(pool)) != is_full:
            assert time.monotonic() < deadline_s, f"the pool {pool} has {self._flags(pool)}"
            time.sleep(0.05)

    def _flags(self, pool: str) -> Sequence[str]:
        pools = json.loads(self._tell("osd dump"))["pools"]
        return next(str(each["flags_names"]).split(",") for each in pools if each["pool_name"] == pool)

    def _tell(self, prefix: str, **arguments: object) -> bytes:
        command = json.dumps({"prefix": prefix, "format": "json", **arguments})
        failure, answer, reason = self._client.mon_command(command, b"")
        assert not failure, reason
        return bytes(answer)
