"""The real servers and clients do what the tests that stand on them take for granted."""

import asyncio
import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest

from tests.peers import (
    USERS,
    CachingNginx,
    Ceph,
    ClientFailed,
    Clients,
    Glance,
    IdentityFailed,
    Keystone,
    MariaDB,
    Memcached,
    Rgw,
    ServerFailed,
    StaticNginx,
    Tuning,
    Varnish,
)

WAIT_S = 30.0


def get(url: str, path: str) -> tuple[int, bytes, str | None]:
    """Status, body and X-Cache-Status."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=WAIT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers["X-Cache-Status"]
    finally:
        connection.close()


def test_memcached_keeps_what_was_set_until_it_is_stopped(tmp_path: Path) -> None:
    with Memcached(tmp_path) as memcached:
        assert memcached.command(b"set k 0 0 5\r\nvalue") == b"STORED\r\n"
        assert memcached.command(b"get k", until=b"END\r\n") == b"VALUE k 0 5\r\nvalue\r\nEND\r\n"
        assert memcached.stats()["get_hits"] == 1

        memcached.stop()
        with pytest.raises(ConnectionRefusedError):
            memcached.command(b"version")
        memcached.start()

        assert memcached.command(b"get k", until=b"END\r\n") == b"END\r\n"


async def test_a_frozen_memcached_takes_connections_and_answers_once_thawed(tmp_path: Path) -> None:
    async with Memcached(tmp_path) as memcached:
        memcached.freeze()
        reader, writer = await asyncio.open_connection(memcached.host, memcached.port)
        writer.write(b"version\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.2)
        memcached.thaw()

        assert (await asyncio.wait_for(reader.readline(), WAIT_S)).startswith(b"VERSION")
        writer.close()
        await writer.wait_closed()


def test_a_server_that_ends_at_once_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    wrong = StaticNginx(tmp_path, tmp_path / "no;such" / "root")
    with pytest.raises(ServerFailed, match=r"(?s)ended while it was starting.*unknown directive"):
        wrong.start()
    assert not wrong.is_running


def test_a_port_that_another_server_took_is_not_mistaken_for_the_own_one(tmp_path: Path) -> None:
    with Memcached(tmp_path / "first") as first:
        second = Memcached(tmp_path / "second")
        second.port = first.port
        with pytest.raises(ServerFailed, match="is taken"):
            second.start()


def test_a_database_keeps_its_rows_over_a_restart(tmp_path: Path) -> None:
    with MariaDB(tmp_path, database="shop") as database:
        database.query("create table t (a int) engine=innodb; insert into t values (1)")
        database.stop()
        database.start()

        assert database.query("select a from t") == [["1"]]


@pytest.mark.parametrize("congestion_control", [None, "reno"])
@pytest.mark.parametrize("workers", [1, 2])
def test_nginx_serves_a_file_from_its_root(tmp_path: Path, workers: int, congestion_control: str | None) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "image").write_bytes(b"bytes" * 1000)
    tuning = Tuning(workers=workers, aio="threads", congestion_control=congestion_control)
    with StaticNginx(tmp_path / "nginx", tmp_path / "www", tuning=tuning) as nginx:
        assert get(nginx.url, "/image") == (200, b"bytes" * 1000, None)
        assert get(nginx.url, "/other")[0] == 404


def test_a_caching_nginx_asks_its_upstream_once(nginx: StaticNginx, tmp_path: Path) -> None:
    (nginx.root / "once").write_bytes(b"x")
    with CachingNginx(tmp_path, nginx.url) as caching:
        assert get(caching.url, "/once") == (200, b"x", "MISS")
        assert get(caching.url, "/once") == (200, b"x", "HIT")


@pytest.mark.parametrize("storage", ["malloc", "file"])
def test_a_varnish_asks_its_upstream_once(
    nginx: StaticNginx, tmp_path: Path, storage: Literal["malloc", "file"]
) -> None:
    (nginx.root / "kept").write_bytes(b"bytes" * 1000)
    with Varnish(tmp_path, nginx.url, size_max_mib=32, storage=storage) as varnish:
        assert get(varnish.url, "/kept") == (200, b"bytes" * 1000, None)
        assert get(varnish.url, "/kept") == (200, b"bytes" * 1000, "HIT")


def test_keystone_gives_every_user_a_token_and_calls_it_valid_until_it_is_revoked(keystone: Keystone) -> None:
    before = keystone.validations()
    for user in USERS:
        token = keystone.token(user)
        assert keystone.is_valid(token)
    assert keystone.validations() == before + len(USERS)

    token = keystone.token("demo")
    keystone.revoke(token)
    assert not keystone.is_valid(token)


def test_keystone_refuses_a_wrong_password_and_a_project_of_others(keystone: Keystone) -> None:
    with pytest.raises(IdentityFailed) as wrong:
        keystone.token("demo", password="guess")
    assert wrong.value.status == 401
    with pytest.raises(IdentityFailed) as foreign:
        keystone.token("demo", "alt")
    assert foreign.value.status == 401


def test_tokens_outlive_a_restart_of_keystone(keystone: Keystone) -> None:
    token = keystone.token("demo")
    keystone.stop()
    with pytest.raises(ConnectionRefusedError):
        keystone.token("demo")
    keystone.start()

    assert keystone.is_valid(token)


async def test_openstack_sees_the_image_endpoint_that_was_set_last(keystone: Keystone, clients: Clients) -> None:
    for url in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        await asyncio.to_thread(keystone.set_image_endpoint, url)

    shown = await clients.openstack(keystone.openrc("admin"), "catalog", "show", "image", "-f", "json")

    assert {row["url"] for row in shown.json()["endpoints"]} == {"http://127.0.0.1:2"}


async def test_a_client_that_fails_raises_what_it_printed(keystone: Keystone, clients: Clients) -> None:
    env = keystone.openrc("demo", image_url="http://127.0.0.1:9")
    with pytest.raises(ClientFailed, match=r"127\.0\.0\.1:9/") as failed:
        await clients.glance(env, "image-list")
    assert failed.value.exit_code == 1


def test_the_sdks_can_be_imported_and_log_in(keystone: Keystone, clients: Clients) -> None:
    script = "import glanceclient, openstack; print(openstack.connect().current_project_id)"

    assert clients.run_python(keystone.openrc("alt"), script).text.strip() == keystone.project_id("alt")


async def test_an_image_goes_into_glance_and_comes_out(glance: Glance, clients: Clients, tmp_path: Path) -> None:
    env = glance.keystone.openrc("demo", image_url=glance.url)
    (tmp_path / "in").write_bytes(os.urandom(1 << 20))

    create = ["image", "create", "seed", "--disk-format=raw", "--container-format=bare", "-f", "json", "--file"]
    image = (await clients.openstack(env, *create, tmp_path / "in")).json()
    await clients.glance(env, "image-download", image["id"], "--file", tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert (glance.image_dirs[0] / image["id"]).exists()
    assert glance.memcached.stats()["curr_items"] > 0


def test_ceph_keeps_an_image_for_the_user_that_glance_would_be(ceph: Ceph, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(1 << 20))

    ceph.rbd("import", tmp_path / "in", f"{ceph.pool}/kept")
    ceph.rbd("export", f"{ceph.pool}/kept", tmp_path / "out")
    ceph.rbd("rm", f"{ceph.pool}/kept")

    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert ceph.ceph("fsid").strip() == ceph.fsid


def test_a_frozen_osd_answers_once_thawed(ceph: Ceph) -> None:
    with ceph.frozen(), pytest.raises(ServerFailed, match="Connection timed out"):
        ceph.rbd("ls", ceph.pool, "--rados_osd_op_timeout=1")

    ceph.rbd("ls", ceph.pool)


def test_the_gateway_of_ceph_lists_no_bucket_to_strangers_and_makes_one_for_its_user(rgw: Rgw) -> None:
    assert rgw.buckets() == []
    assert get(rgw.url, "/nothing-here")[0] == 404


def test_no_server_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    """Killed without a chance to tidy up, as by a time-out of the machine."""
    script = f"""
import time
from pathlib import Path
from tests.peers import Memcached, StaticNginx
servers = [Memcached(Path({str(tmp_path)!r}) / "m"), StaticNginx(Path({str(tmp_path)!r}) / "n", Path("/"))]
for server in servers:
    server.start()
servers[0].freeze()
print(*(server.pid for server in servers), flush=True)
time.sleep(60)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        groups = [int(word) for word in owner.stdout.readline().split()]
        owner.send_signal(signal.SIGKILL)
    assert len(groups) == 2

    deadline = time.monotonic() + WAIT_S
    while alive := [group for group in groups if is_alive(group)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.02)


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
