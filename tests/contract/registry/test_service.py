"""The registry service at its socket: without the key nobody learns or does anything; what fails is told as it is."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from tests.contract.registry.world import KEY, OWNER, new_image, reached_at, service_of
from tests.tls import self_signed
from upstream.errors import Conflict, Denied, Invalid, Unavailable
from upstream.registry import ImageChanges, ImageQuery, Registry, RegistryConfig, RegistryMisconfigured, open_registry
from upstream.registry.remote_lines import may_repeat
from upstream.registry.sql import open_registry as open_sql
from upstream.registry.wire import SIGNATURE, Line, loads, to_headers
from upstream.registry.wire.signing import NUMBER
from upstream.types import Context, Status

PATH = "/v1/images.list"
BODY = b'{"query":{}}'
ADMIN = {"X-Is-Admin": "true"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Service:
    """`config` is what an honest client has. `send` is what anybody can do."""

    behind: Registry
    config: RegistryConfig
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        assert self.config.remote.url is not None
        return self.config.remote.url

    async def send(
        self, headers: Mapping[str, str], *, path: str = PATH, body: bytes = BODY, method: str = "POST"
    ) -> Answer:
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            return Answer(answer.status, await answer.read(), answer.headers)

    async def audience(self, key: str = KEY) -> str:
        """What the service tells those who have the key."""
        answer = await self.send(Line("9" * 32).sign(key.encode(), PATH, BODY, {}, time.time())[0])
        assert (answer.status, SIGNATURE in answer.headers) == (401, True)
        return str(loads(answer.body)["audience"])

    async def signed(
        self, identity: Mapping[str, str], *, path: str = PATH, body: bytes = BODY, late_s: float = 0
    ) -> dict[str, str]:
        """Headers that are good, but for their time perhaps."""
        line = Line(f"{time.monotonic_ns():032x}", audience=await self.audience())
        return dict(line.sign(KEY.encode(), path, body, identity, time.time() - late_s)[0])


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with (
        open_sql(RegistryConfig(url=f"sqlite:///{tmp_path}/registry.db")) as behind,
        service_of(behind) as config,
        aiohttp.ClientSession() as session,
    ):
        yield Service(behind, config, session)


def assert_nothing_leaked(answer: Answer) -> None:
    """Not even whether there is such a path, or what the service is made of."""
    assert (answer.status, answer.body) == (401, b"")
    assert SIGNATURE not in answer.headers
    assert answer.headers["Server"] == "glint"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [PATH, "/", "/v1/images.nothing", "/v2/images", "/%0a", "/metrics"])
async def test_without_a_signature_nobody_gets_in(service: Service, method: str, path: str) -> None:
    identity = to_headers(Context(user_id="root", roles=frozenset({"admin"}), is_admin=True))
    assert_nothing_leaked(await service.send(identity, path=path, method=method))


async def test_with_the_key_one_does(service: Service) -> None:
    image = await service.behind.images.create(OWNER, new_image())
    answer = await service.send(await service.signed(ADMIN))
    assert answer.status == 200
    assert [each["id"] for each in loads(answer.body)] == [image.id]


async def test_another_key_does_not_open(service: Service) -> None:
    line = Line("1" * 32, audience=await service.audience())
    assert_nothing_leaked(await service.send(line.sign(b"x" * 32, PATH, BODY, ADMIN, time.time())[0]))


async def test_what_was_changed_on_the_way_is_refused_and_not_done(service: Service) -> None:
    image = await service.behind.images.create(OWNER, new_image())
    path, body = "/v1/images.delete", f'{{"image_id":"{image.id}"}}'.encode()
    mine = {"X-User-Id": "bert", "X-Tenant-Id": "other"}
    headers = await service.signed(mine, path=path, body=body)
    assert_nothing_leaked(await service.send(headers, path=PATH, body=body))
    assert_nothing_leaked(await service.send(headers | ADMIN, path=path, body=body))
    assert_nothing_leaked(await service.send(headers | {"X-Tenant-Id": "owner"}, path=path, body=body))
    assert_nothing_leaked(await service.send(headers | {"x-tenant-id": "owner"}, path=path, body=body))
    assert_nothing_leaked(await service.send(headers, path=path + "?x=1", body=body))
    assert_nothing_leaked(await service.send(headers, path=path, body=body + b" "))
    assert await service.behind.images.get(OWNER, image.id) == image


async def test_what_was_seen_on_the_network_is_done_once(service: Service) -> None:
    path, body = "/v1/tags.add", b'{"image_id":"%s","tag":"t"}'
    image = await service.behind.images.create(OWNER, new_image())
    body %= image.id.encode()
    headers = await service.signed(to_headers(OWNER), path=path, body=body)
    assert (await service.send(headers, path=path, body=body)).status == 200
    await service.behind.tags.remove(OWNER, image.id, "t")
    again = await service.send(headers, path=path, body=body)
    assert (again.status, loads(again.body)) == (401, {"refused": "replayed"})
    assert (await service.behind.images.get(OWNER, image.id)).tags == ()


async def test_what_was_seen_on_the_network_is_not_done_by_another_process_either(
    service: Service, tmp_path: Path
) -> None:
    """Nor by the same one after a restart. The other one has the same database and the same key."""
    headers = await service.signed(ADMIN)
    async with service_of(service.behind) as config:
        other = Service(service.behind, config, service.session)
        answer = await other.send(headers)
        assert (answer.status, loads(answer.body)["refused"]) == (401, "audience")
    assert (await service.send(headers)).status == 200


@pytest.mark.parametrize("late_s", [3600, -3600])
async def test_an_operator_is_told_of_clocks_that_differ(
    service: Service, late_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await service.send(await service.signed(ADMIN, late_s=late_s))
    assert (old.status, loads(old.body)["refused"]) == (401, "clock")
    clock = SimpleNamespace(time=lambda: time.time() - late_s)
    monkeypatch.setattr("upstream.registry.remote_lines.time", clock)
    told = rf"clock is {3600}.* s {'ahead of' if late_s > 0 else 'behind'} ours, and 60 s are allowed. Set the clocks"
    with pytest.raises(Denied, match=told):
        async with open_registry(service.config):
            pass


async def test_a_glint_with_another_key_does_not_start_and_is_told_which_it_is(service: Service) -> None:
    with pytest.raises(Denied, match=r"registry\.remote\.key is no key that it has"):
        async with open_registry(reached_at(service.url, key="x" * 40)):
            pass


async def test_keys_are_changed_without_an_end_of_service(service: Service) -> None:
    """First the service takes both, then each Glint signs with the new one, then the service drops the old one."""
    new = KEY[::-1]
    async with service_of(service.behind, keys=[new, KEY]) as config:
        assert config.remote.url is not None
        for key in (KEY, [KEY, new], [new, KEY], new):
            async with open_registry(reached_at(config.remote.url, key=key)) as registry:
                await registry.check()
    async with service_of(service.behind, keys=[new]) as config:
        assert config.remote.url is not None
        with pytest.raises(Denied):
            async with open_registry(reached_at(config.remote.url, key=[KEY, new])):
                pass


async def test_over_tls_the_service_is_who_its_certificate_says(service: Service, tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    await asyncio.to_thread(tls.load_cert_chain, certificate, key)
    async with service_of(service.behind, tls=tls) as config:
        assert config.remote.url is not None
        async with open_registry(reached_at(config.remote.url, ca_file=certificate)) as registry:
            assert await registry.images.list(OWNER, ImageQuery()) == []
        async with open_registry(config) as registry:
            with pytest.raises(Unavailable, match="TLS certificate"):
                await registry.images.list(OWNER, ImageQuery())
    with pytest.raises(RegistryMisconfigured, match=r"registry\.remote\.ca_file: cannot be read"):
        async with open_registry(reached_at("https://127.0.0.1:9", ca_file=f"{tmp_path}/none.pem")):
            pass


async def test_what_answers_without_the_key_is_not_believed() -> None:
    """Somebody else listens there, and says yes to everything."""

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        writer.close()

    async with await asyncio.start_server(lie, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with open_registry(config_for(port)) as registry:
            with pytest.raises(Unavailable, match="has not the key"):
                await registry.images.list(OWNER, ImageQuery())


async def test_what_cannot_be_understood_is_invalid_and_nothing_is_done(service: Service) -> None:
    for path, body in [
        ("/v1/images.purge", b"{}"),
        (PATH, b"{"),
        (PATH, b"[]"),
        (PATH, b'{"query":{"limit":"1"}}'),
        ("/v1/images.delete", b'{"image_id":"a","reason":"b"}'),
    ]:
        answer = await service.send(await service.signed(ADMIN, path=path, body=body), path=path, body=body)
        assert (answer.status, loads(answer.body)["error"]) == (400, "Invalid"), body


async def test_a_failure_of_the_service_itself_is_told_to_its_log_alone(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("with a secret")

    monkeypatch.setattr(service.behind.images, "list", fail)
    with capture_logs() as logged:
        answer = await service.send(await service.signed(ADMIN))
        assert (answer.status, answer.body) == (500, b"null")
        async with open_registry(service.config) as registry:
            with pytest.raises(Unavailable, match="its log says why"):
                await registry.images.list(OWNER, ImageQuery())
    failed = [each for each in logged if each["event"] == "request.failed"]
    assert [(each["operation"], each["error"]) for each in failed] == [("images.list", "ZeroDivisionError")] * 2


async def test_what_goes_wrong_behind_comes_out_as_it_was_raised(service: Service) -> None:
    image = await service.behind.images.create(OWNER, new_image())
    async with open_registry(service.config) as registry:
        with pytest.raises(Conflict, match="is active, and has to be queued"):
            await registry.images.update(OWNER, image.id, ImageChanges(), from_status={Status.QUEUED})
        with pytest.raises(Invalid, match="cannot be asked"):
            await registry.images.update(OWNER, image.id, ImageChanges(columns={"name": object()}))


async def test_no_more_connections_are_made_than_may_be(service: Service) -> None:
    """Who finds none free waits `connect_s` at most."""
    waiting, entered = asyncio.Event(), asyncio.Semaphore(0)
    honest = service.behind.images.list

    async def wait(context: Context, query: ImageQuery) -> Any:
        entered.release()
        await waiting.wait()
        return await honest(context, query)

    service.behind.images.list = wait  # type: ignore[method-assign]
    config = service.config.model_copy(update={"pool_max": 2, "connect_s": 1})
    async with open_registry(config) as registry, asyncio.TaskGroup() as group:
        asked = [group.create_task(registry.images.list(OWNER, ImageQuery())) for _ in range(2)]
        for _ in asked:
            await entered.acquire()
        with pytest.raises(Unavailable, match="all connections are in use"):
            await registry.check()
        waiting.set()


async def test_each_request_has_a_number_of_its_own(service: Service) -> None:
    line = Line("1" * 32)
    numbers = [line.sign(KEY.encode(), PATH, BODY, {}, 0.0)[0][NUMBER] for _ in range(3)]
    assert numbers == [f"{'1' * 32}.{number}" for number in (1, 2, 3)]


def config_for(port: int, **settings: Any) -> RegistryConfig:
    return reached_at(f"http://127.0.0.1:{port}").model_copy(update=settings)


class Relay:
    """Stands before the service, and cuts the connections on which more than `cut_after` requests come."""

    def __init__(self, url: str) -> None:
        self.target, self.cut_after, self.received = URL(url), 0, 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        async with await asyncio.start_server(self._relay, "127.0.0.1") as server:
            yield server.sockets[0].getsockname()[1]

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(self.target.host, self.target.port)
        passed = 0
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.received += 1
                if self.cut_after and passed >= self.cut_after:
                    return
                passed += 1
                behind_writer.write(head + body)
                answer = await behind_reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                writer.write(answer + await behind_reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            behind_writer.close()


async def test_a_kept_connection_that_ends_costs_a_read_a_second_try_and_a_write_an_error(service: Service) -> None:
    """Whether the write was done is not known, so it is not done again; the next one is."""
    image = await service.behind.images.create(OWNER, new_image(name="old"))
    changes = ImageChanges(columns={"name": "new"})
    relay = Relay(service.url)
    async with relay.open() as port, open_registry(config_for(port)) as registry:
        await registry.images.get(OWNER, image.id)
        relay.cut_after, relay.received = 1, 0
        assert await registry.images.get(OWNER, image.id) == image
        assert relay.received == 2
        with pytest.raises(Unavailable):
            await registry.images.update(OWNER, image.id, changes)
        assert relay.received == 3
        assert await service.behind.images.get(OWNER, image.id) == image
        assert (await registry.images.update(OWNER, image.id, changes)).name == "new"


@pytest.mark.parametrize(
    ("error", "reads", "writes"),
    [
        (aiohttp.ClientConnectorError(None, OSError(111, "refused")), True, True),  # type: ignore[arg-type]
        (aiohttp.ServerDisconnectedError(), True, False),
        (aiohttp.ClientOSError(104, "reset"), True, False),
        (aiohttp.ClientPayloadError(), True, False),
        (aiohttp.ServerTimeoutError(), False, False),
        (aiohttp.ConnectionTimeoutError(), False, False),
        (aiohttp.ClientConnectorCertificateError(None, ValueError()), False, False),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_is_certain_to_be_nowhere_is_sent_again_if_it_writes(
    error: aiohttp.ClientError, reads: bool, writes: bool
) -> None:
    assert (may_repeat(error, is_read=True), may_repeat(error, is_read=False)) == (reads, writes)


async def test_a_service_that_is_away_is_unavailable_and_is_used_again_when_it_is_back(service: Service) -> None:
    """One that was never there too: a Glint starts without it."""
    async with service_of(service.behind) as gone:
        pass
    async with open_registry(gone) as registry:
        with pytest.raises(Unavailable, match="cannot be connected to"):
            await registry.images.list(OWNER, ImageQuery())
        relay = Relay(service.url)
        assert gone.remote.url is not None
        back = await asyncio.start_server(relay._relay, "127.0.0.1", URL(gone.remote.url).port)
        async with back:
            assert await registry.images.list(OWNER, ImageQuery()) == []


async def test_a_service_that_does_not_answer_is_unavailable_in_time() -> None:
    """It takes connections and what is sent; nothing comes back."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with open_registry(config_for(port, connect_s=0.2, statement_s=0.3)) as registry:
            async with asyncio.timeout(100):
                with pytest.raises(Unavailable, match="no answer in time"):
                    await registry.images.list(OWNER, ImageQuery())


async def test_health_is_told_to_everybody_and_asks_the_database_once_a_second(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await service.send({}, path="/healthcheck", method="GET", body=b"")
    assert (answer.status, answer.body) == (200, b"OK")
    checks = 0

    async def fail() -> None:
        nonlocal checks
        checks += 1
        raise Unavailable("registry")

    monkeypatch.setattr(service.behind, "check", fail)
    began_s, found = time.monotonic(), b"OK"
    async with asyncio.timeout(100):
        while found == b"OK":
            found = (await service.send({}, path="/healthcheck", method="GET", body=b"")).body
    assert found == b"UNAVAILABLE"
    for _ in range(20):
        assert (await service.send({}, path="/healthcheck", method="GET", body=b"")).status == 503
    assert 0 < checks <= 1 + (time.monotonic() - began_s)
