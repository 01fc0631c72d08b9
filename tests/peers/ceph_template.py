"""A Ceph that was made but has never run: copying it is what starting one costs less."""

import fcntl
import hashlib
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from typing import Literal

from tests.peers.debian import program
from tests.peers.environments import STAMP, InstallFailed, peers_dir
from tests.peers.ports import free_port

ObjectStore = Literal["memstore", "bluestore"]
POOL, USER, GATEWAY = "images", "glint", "rgw.a"
STORE_BYTES = 16 << 30  # of a sparse file, or of memory that is taken as data come

CONFIG = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
run_dir = {directory}
admin_socket =
log_file = {directory}/$name.log
mon_cluster_log_file =
mon_data = {directory}/mon
osd_data = {directory}/osd
osd_objectstore = {store}
osd_pool_default_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_memory_target = 1073741824
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
bluestore_block_size = {store_bytes}
bluestore_block_wal_create = false
bluestore_block_db_create = false
memstore_device_bytes = {store_bytes}
[client]
log_file =
keyring = {directory}/ceph.$name.keyring
rbd_cache = false
"""

# Each client, and what it may do: of those that operators are told to give Glance, and Ceph's own gateway.
CLIENTS = {
    USER: ["mon", "profile rbd", "osd", f"profile rbd pool={POOL}", "mgr", f"profile rbd pool={POOL}"],
    GATEWAY: ["mon", "allow rw", "osd", "allow rwx", "mgr", "allow rw"],
}
# The gateway makes these itself where they are missing, one after the other.
GATEWAY_POOLS = (
    ".rgw.root",
    "default.rgw.log",
    "default.rgw.control",
    "default.rgw.meta",
    "default.rgw.buckets.index",
    "default.rgw.buckets.data",
    "default.rgw.buckets.non-ec",
)


def write_config(directory: Path, *, fsid: str, port: int, store: ObjectStore) -> Path:
    path = directory / "ceph.conf"
    values = {"fsid": fsid, "port": port, "directory": directory, "store": store, "store_bytes": STORE_BYTES}
    path.write_text(CONFIG.format(**values))
    return path


def monitor_map(directory: Path, fsid: str, port: int) -> Path:
    path = directory / "monmap"
    address = f"[v2:127.0.0.1:{port}]"
    _run([program("monmaptool"), "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, path])
    return path


def ensure_template(store: ObjectStore) -> Path:
    """The directory of one with pools and clients, made first if need be. Concurrent calls wait for each other."""
    version = subprocess.run([program("ceph-osd"), "--version"], capture_output=True, check=True, timeout=30).stdout
    digest = hashlib.sha256(version + Path(__file__).read_bytes()).hexdigest()
    home = peers_dir() / f"ceph-{store}-{digest[:12]}"
    if (home / STAMP).exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / STAMP).exists():
            shutil.rmtree(home, ignore_errors=True)  # half made, by an install that was cut off
            _make(home, store)
            (home / STAMP).touch()
    return home


def _make(home: Path, store: ObjectStore) -> None:
    fsid, port = str(uuid.uuid4()), free_port()
    (home / "osd").mkdir(parents=True)
    (home / "fsid").write_text(fsid)
    config = write_config(home, fsid=fsid, port=port, store=store)
    admin, keyring = home / "ceph.client.admin.keyring", home / "mon.keyring"
    everything = [part for service in ("mon", "osd", "mgr") for part in ("--cap", service, "allow *")]
    authtool = program("ceph-authtool")
    _run([authtool, "-C", admin, "--gen-key", "-n", "client.admin", *everything])
    _run([authtool, "-C", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *", "--import-keyring", admin])
    monitor: list[str | Path] = [program("ceph-mon"), "-c", config, "-i", "a"]
    _run([*monitor, "--mkfs", "--monmap", monitor_map(home, fsid, port), "--keyring", keyring])
    with subprocess.Popen([*monitor, "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            _fill(home, config)
        finally:
            running.terminate()


def _fill(home: Path, config: Path) -> None:
    """Tell a running monitor of all that there will be."""

    def tell(*command: str | Path) -> None:
        _run([program("ceph"), "-c", config, "--connect-timeout", "30", *command])

    osd = str(uuid.uuid4())
    tell("osd", "new", osd)
    rights = ["mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd"]
    tell("auth", "get-or-create", "osd.0", *rights, "-o", home / "osd" / "keyring")
    for name, caps in CLIENTS.items():
        tell("auth", "get-or-create", f"client.{name}", *caps, "-o", home / f"ceph.client.{name}.keyring")
    for pool, application in {POOL: "rbd", **dict.fromkeys(GATEWAY_POOLS, "rgw")}.items():
        tell("osd", "pool", "create", pool, "1", "1")
        tell("osd", "pool", "application", "enable", pool, application)
    _run([program("ceph-osd"), "-c", config, "-i", "0", "--mkfs", "--osd-uuid", osd])


def _run(command: list[str | Path]) -> None:
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise InstallFailed("ceph", f"{command} ({time.monotonic() - began:.0f} s)\n{done.stdout}{done.stderr}")
