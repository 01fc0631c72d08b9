"""The token cache with a real memcached: shared, dead, frozen, and lying."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cache.tokens import TokenBody, TokenCache, TokenCacheConfig
from metrics import Instruments
from tests.peers.memcached import Memcached

HOUR_S = 3600.0


class Invalid(Exception):
    """What the validation says of a bad token."""


class Issuer:
    def __init__(self, life_s: float = HOUR_S) -> None:
        self.asked = 0
        self.life_s = life_s

    async def __call__(self, token: str) -> TokenBody:
        self.asked += 1
        return TokenBody({"token": {"of": token}}, time.time() + self.life_s)


class Node:
    """One process's token cache and what it counted."""

    def __init__(self, *servers: str, **section: Any) -> None:
        known = {"memcached_servers": servers, "secret_key": "a secret key"}
        self.instruments = Instruments()
        self.issuer = Issuer()
        self.tokens = TokenCache(TokenCacheConfig.model_validate(known | section), self.instruments, invalid=Invalid)

    async def get(self, token: str) -> TokenBody:
        return await self.tokens.get(token, self.issuer)

    def count(self, name: str, **labels: str) -> float:
        return self.instruments.registry.get_sample_value(name, labels) or 0.0

    def lookups(self, outcome: str) -> float:
        return self.count("glint_token_lookups_total", outcome=outcome)

    def errors(self, operation: str) -> float:
        return self.count("glint_memcached_errors_total", operation=operation)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memcached]:
    with Memcached(tmp_path_factory.mktemp("memcached")) as server:
        yield server


@pytest.fixture
def fresh(server: Memcached, monkeypatch: pytest.MonkeyPatch) -> Memcached:
    """It is well, however late it answers on a busy machine."""
    monkeypatch.setattr("cache.memcached._TIMEOUT_S", 30.0)
    server.flush()
    return server


async def stored(server: Memcached, items: int, *nodes: Node) -> None:
    """Wait until memcached was given so many values: they are written after the answer was given.

    Those of `nodes` that could not be written do not come.
    """

    def lost() -> float:
        return sum(node.errors("set") for node in nodes)

    async with asyncio.timeout(30):
        while await asyncio.to_thread(server.stored) < items - lost():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


def dump(server: Memcached) -> dict[str, bytes]:
    """Everything memcached holds."""
    lines = server.command(b"lru_crawler metadump all", until=b"END\r\n").decode().splitlines()
    names = [line.split()[0].removeprefix("key=").replace("%3A", ":") for line in lines if line.startswith("key=")]
    return {name: server.command(b"get " + name.encode(), until=b"END\r\n") for name in names}


@pytest.mark.parametrize("strategy", ["none", "mac", "encrypt"])
async def test_what_one_process_learnt_the_other_knows(fresh: Memcached, strategy: str) -> None:
    one, other = (Node(fresh.address, security_strategy=strategy) for _ in range(2))
    async with one.tokens, other.tokens:
        told = await one.get("t")
        await stored(fresh, 1)
        found = await other.get("t")
        assert (found.document, found.expires_at_s) == (told.document, told.expires_at_s)
        await other.get("t")
    assert (one.issuer.asked, other.issuer.asked) == (1, 0)
    assert (other.lookups("memcached"), other.lookups("memory")) == (1, 1)


@pytest.mark.parametrize("strategy", ["none", "mac", "encrypt"])
async def test_no_token_lies_in_memcached(fresh: Memcached, strategy: str) -> None:
    node = Node(fresh.address, security_strategy=strategy)

    async def issue(token: str) -> TokenBody:
        return TokenBody({"token": {"user": "somebody"}}, time.time() + HOUR_S)

    async with node.tokens:
        await node.tokens.get("gAAAA-the-token", issue)
        await stored(fresh, 1)
    everything = str(await asyncio.to_thread(dump, fresh))
    assert "gAAAA-the-token" not in everything
    assert ("somebody" in everything) == (strategy != "encrypt")


@pytest.mark.parametrize("strategy", ["mac", "encrypt"])
async def test_a_value_changed_in_memcached_is_a_miss(fresh: Memcached, strategy: str) -> None:
    one, other = (Node(fresh.address, security_strategy=strategy) for _ in range(2))
    async with one.tokens, other.tokens:
        await one.get("t")
        await stored(fresh, 1)
        (name,) = await asyncio.to_thread(dump, fresh)
        forged = b'{"document":{"token":{"roles":[{"name":"admin"}]}},"expires_at_s":4e9,"end_s":4e9}'
        command = b"set %s 0 0 %d\r\n%s" % (name.encode(), len(forged), forged)
        assert await asyncio.to_thread(fresh.command, command) == b"STORED\r\n"
        assert (await other.get("t")).document == {"token": {"of": "t"}}
    assert (other.issuer.asked, other.errors("verify")) == (1, 1)


@pytest.mark.parametrize("value", [b"", b"\xff", b"[]", b"{}", b'{"document":1,"expires_at_s":"x","end_s":[]}'])
async def test_even_without_a_strategy_nonsense_is_a_miss(fresh: Memcached, value: bytes) -> None:
    one, other = (Node(fresh.address, security_strategy="none") for _ in range(2))
    async with one.tokens, other.tokens:
        await one.get("t")
        await stored(fresh, 1)
        (name,) = await asyncio.to_thread(dump, fresh)
        command = b"set %s 0 0 %d\r\n%s" % (name.encode(), len(value), value)
        await asyncio.to_thread(fresh.command, command)
        await other.get("t")
    assert (other.issuer.asked, other.errors("verify")) == (1, 1)


async def test_another_secret_key_finds_nothing(fresh: Memcached) -> None:
    one, other = Node(fresh.address), Node(fresh.address, secret_key="another key")
    async with one.tokens, other.tokens:
        await one.get("t")
        await stored(fresh, 1)
        await other.get("t")
    assert other.issuer.asked == 1


async def test_a_value_of_a_longer_time_to_live_is_kept_for_ours_only(fresh: Memcached) -> None:
    one, other = Node(fresh.address, ttl_s=3000), Node(fresh.address, ttl_s=1)
    async with one.tokens, other.tokens:
        await one.get("t")
        await stored(fresh, 1)
        found = await other.tokens._recall(other.tokens._seal.name(b"t"))  # type: ignore[union-attr]
        assert found is not None
        assert found[1] <= time.time() + 1


async def test_a_token_that_ends_within_the_second_is_not_shared(fresh: Memcached) -> None:
    node = Node(fresh.address)
    node.issuer.life_s = 0.5
    async with node.tokens:
        await node.get("t")
        node.issuer.life_s = HOUR_S
        await node.get("later")
        await stored(fresh, 1)
    assert await asyncio.to_thread(fresh.stored) == 1


async def test_forgetting_is_shared(fresh: Memcached) -> None:
    one, other = Node(fresh.address), Node(fresh.address)
    async with one.tokens, other.tokens:
        await one.get("t")
        await stored(fresh, 1)
        await one.tokens.forget("t")
        await other.get("t")
    assert other.issuer.asked == 1


async def test_a_stopped_memcached_is_never_an_error_and_is_found_again(tmp_path: Path) -> None:
    async with Memcached(tmp_path) as server:
        node = Node(server.address)
        async with node.tokens:
            await node.get("before")
            await asyncio.to_thread(server.stop)
            for number in range(20):
                await node.get(f"down-{number}")
            assert node.issuer.asked == 21
            failures = node.errors("get") + node.errors("set")
            assert 1 <= failures <= 8, "it is left alone between the tries"
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(30):
                while (await asyncio.to_thread(server.stats))["cmd_set"] == 0:
                    await node.get(f"up-{time.monotonic_ns()}")
                    await asyncio.sleep(0.05)


async def test_a_frozen_memcached_costs_its_time_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cache.memcached._TIMEOUT_S", 1.0)
    async with Memcached(tmp_path) as server:
        node = Node(server.address)
        async with node.tokens:
            await node.get("before")
            with server.frozen():
                started_s = time.monotonic()
                await asyncio.gather(*(node.get(f"at-once-{number}") for number in range(50)))
                first_s = time.monotonic() - started_s
                started_s = time.monotonic()
                for number in range(50):
                    await node.get(f"then-{number}")
                then_s = time.monotonic() - started_s
            assert first_s < 10  # by four threads one after the other they would take 12 s
            assert then_s < 20  # and these 50 s
            assert node.issuer.asked == 101


def dribble(connection: socket.socket) -> None:
    """An answer that never ends, one byte at a time: no time-out of a socket ever comes."""
    with suppress(OSError):
        while True:
            connection.send(b"V")
            time.sleep(0.05)


def babble(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.recv(1000)
        connection.sendall(b"VALUE x y z\r\n\xff\xfe\r\nEND\r\n" * 10)


def flood(connection: socket.socket) -> None:
    """A value that does not end."""
    with suppress(OSError):
        connection.recv(1000)
        connection.sendall(b"VALUE x 0 1000000000\r\n")
        while True:
            connection.sendall(bytes(65536))


def hang_up(connection: socket.socket) -> None:
    """Says nothing and closes."""


@contextmanager
def lying_server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def converse(connection: socket.socket) -> None:
        with connection:
            behave(connection)

    def serve() -> None:
        with suppress(OSError), ThreadPoolExecutor() as pool:
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                pool.submit(converse, connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            connection.close()
        thread.join()


@pytest.mark.parametrize("behave", [dribble, babble, flood, hang_up])
async def test_a_server_that_lies_is_given_up(behave: Callable[[socket.socket], None]) -> None:
    with lying_server(behave) as address:
        node = Node(address)
        async with node.tokens, asyncio.timeout(30):
            for number in range(10):
                await node.get(f"t{number}")
    assert node.issuer.asked == 10
    assert 1 <= node.errors("get") <= 4


async def test_names_of_a_dead_server_go_to_the_others(fresh: Memcached) -> None:
    dead = "127.0.0.1:1"
    one, other = Node(fresh.address, dead), Node(dead, fresh.address)
    async with one.tokens, other.tokens:
        for node in (one, other):  # both notice that one is dead
            for number in range(20):
                await node.get(f"{id(node)}-{number}")
        for number in range(20):
            await one.get(f"shared-{number}")
        await stored(fresh, 60, one, other)
        asked, tries = other.issuer.asked, other.errors("get")
        for number in range(20):
            await other.get(f"shared-{number}")
    assert other.issuer.asked - asked <= other.errors("get") - tries + one.errors("set"), "a try of the dead server"
