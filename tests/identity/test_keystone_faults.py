"""What becomes of a question when Keystone, or the way to it, fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from metrics import Instruments
from tests.identity.fake_keystone import (
    LONG_AGO,
    FakeKeystone,
    Fault,
    answer,
    cut,
    document,
    endless,
    hang,
)
from upstream.errors import Denied, Unauthenticated, Unavailable
from upstream.identity import Keystone

TOKEN = "the-user's-token"


@pytest.fixture
async def fake() -> AsyncIterator[FakeKeystone]:
    fake = FakeKeystone()
    fake.tokens[TOKEN] = document()
    async with fake.serving():
        yield fake


@pytest.fixture
async def keystone(fake: FakeKeystone, request: pytest.FixtureRequest) -> AsyncIterator[Keystone]:
    """It gives up soon only where the test makes Keystone silent: a busy machine is silent now and then itself."""
    called_with = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    attempt_s = 1 if called_with.get("fault") in (hang, endless) else 30
    async with Keystone(fake.config(), Instruments(), deadline_s=100, attempt_s=attempt_s) as keystone:
        yield keystone


async def test_a_token_is_described_without_the_catalog(fake: FakeKeystone, keystone: Keystone) -> None:
    described = await keystone.validate(TOKEN)
    assert described["token"]["user"]["id"] == "demo"
    assert "catalog" not in described["token"]
    assert fake.queries == [{"nocatalog": "1"}]


async def test_one_login_serves_all_questions(fake: FakeKeystone, keystone: Keystone) -> None:
    await asyncio.gather(*(keystone.validate(TOKEN) for _ in range(20)))
    assert (fake.counts["login"], fake.counts["validate"]) == (1, 20)


async def test_an_own_token_near_its_end_is_renewed_first(fake: FakeKeystone, keystone: Keystone) -> None:
    fake.own_expires_at = LONG_AGO
    await keystone.validate(TOKEN)
    await keystone.validate(TOKEN)
    assert fake.counts["login"] == 2


async def test_a_revoked_own_token_is_replaced_once_for_all(fake: FakeKeystone, keystone: Keystone) -> None:
    await keystone.validate(TOKEN)
    fake.own.clear()
    await asyncio.gather(*(keystone.validate(TOKEN) for _ in range(10)))
    assert fake.counts["login"] == 2


async def test_an_unknown_token_is_refused_without_a_second_try(fake: FakeKeystone, keystone: Keystone) -> None:
    with pytest.raises(Unauthenticated):
        await keystone.validate("unknown")
    assert fake.counts["validate"] == 1


async def test_what_can_be_no_token_never_reaches_keystone(fake: FakeKeystone, keystone: Keystone) -> None:
    with pytest.raises(Unauthenticated):
        await keystone.validate("two words")
    assert not fake.counts


async def test_an_expired_token_is_described_only_when_that_is_asked_for(
    fake: FakeKeystone, keystone: Keystone
) -> None:
    fake.tokens["old"] = document(expires_at=LONG_AGO)
    with pytest.raises(Unauthenticated):
        await keystone.validate("old")
    assert (await keystone.validate("old", allow_expired=True))["token"]["expires_at"] == LONG_AGO


@pytest.mark.parametrize("fault", [answer(500), answer(503), answer(429), cut, hang, endless])
async def test_a_passing_fault_is_not_noticed(fake: FakeKeystone, keystone: Keystone, fault: Fault) -> None:
    await keystone.validate(TOKEN)
    fake.faults.append(fault)
    assert (await keystone.validate(TOKEN))["token"]["user"]["id"] == "demo"
    assert fake.counts["validate"] == 3


@pytest.mark.parametrize("fault", [answer(503), cut, hang, endless])
@pytest.mark.parametrize("logged_in", [True, False])
async def test_a_lasting_fault_is_an_outage_after_the_configured_tries(
    fake: FakeKeystone, keystone: Keystone, fault: Fault, logged_in: bool
) -> None:
    if logged_in:
        await keystone.validate(TOKEN)
    before = fake.counts.total()
    fake.faults.extend([fault] * 2)
    with pytest.raises(Unavailable) as caught:
        await keystone.validate(TOKEN)
    assert fake.counts.total() - before == 2
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        answer(200, "no json"),
        answer(200, "[" * 100_000),
        answer(200, []),
        answer(200, {"token": {}}),
        answer(200, document(expires_at="soon")),
        answer(302, "", Location="http://127.0.0.1:1/"),
        answer(400),
    ],
)
async def test_nonsense_is_an_outage_and_no_answer(fake: FakeKeystone, keystone: Keystone, fault: Fault) -> None:
    await keystone.validate(TOKEN)
    fake.faults.append(fault)
    with pytest.raises(Unavailable):
        await keystone.validate(TOKEN)
    assert fake.counts["validate"] == 2


async def test_a_port_where_nobody_listens_is_an_outage(fake: FakeKeystone) -> None:
    async with Keystone(fake.config(auth_url="http://127.0.0.1:1"), Instruments()) as keystone:
        with pytest.raises(Unavailable, match=r"ClientConnectorError at http://127\.0\.0\.1:1/v3"):
            await keystone.validate(TOKEN)


async def test_nobody_waits_longer_than_the_deadline(fake: FakeKeystone) -> None:
    fake.faults.extend([hang] * 10)
    async with Keystone(fake.config(), Instruments(), deadline_s=0.3, attempt_s=60) as keystone:
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable, match=r"within 0\.3 s"):
                await keystone.validate(TOKEN)


async def test_at_most_so_many_questions_run_at_a_time(fake: FakeKeystone) -> None:
    running, most = 0, 0

    async def slow(request: object) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return await answer(200, document())(request)  # type: ignore[arg-type]

    async with Keystone(fake.config(), Instruments(), concurrent_max=3) as keystone:
        await keystone.validate(TOKEN)
        fake.faults.extend([slow] * 12)  # type: ignore[list-item]
        await asyncio.gather(*(keystone.validate(TOKEN) for _ in range(12)))
    assert most == 3


async def test_wrong_credentials_are_logged_once_and_not_tried_again_at_once(
    fake: FakeKeystone, keystone: Keystone
) -> None:
    fake.password = "another"
    with capture_logs() as logs:
        for _ in range(5):
            with pytest.raises(Denied):
                await keystone.validate(TOKEN)
    assert fake.counts == {"login": 1}
    told = [entry for entry in logs if entry["event"].startswith("keystone.")]
    assert [(entry["event"], entry["username"]) for entry in told] == [("keystone.refused", "glint")]
    assert "secret" not in str(logs)


async def test_a_user_that_may_not_validate_is_told_from_a_bad_token(fake: FakeKeystone, keystone: Keystone) -> None:
    fake.faults.extend([answer(403)])
    await fake_login_first(fake, keystone)
    with pytest.raises(Denied, match="role"):
        await keystone.validate(TOKEN)
    assert (await keystone.validate(TOKEN))["token"]["user"]["id"] == "demo"


async def fake_login_first(fake: FakeKeystone, keystone: Keystone) -> None:
    faults = list(fake.faults)
    fake.faults.clear()
    await keystone.validate(TOKEN)
    fake.faults.extend(faults)


async def test_an_own_token_that_is_refused_twice_is_our_problem_and_not_the_users(
    fake: FakeKeystone, keystone: Keystone
) -> None:
    await keystone.validate(TOKEN)
    fake.faults.extend([answer(401), answer(201, document(), **{"X-Subject-Token": "own"}), answer(401)])
    with pytest.raises(Denied):
        await keystone.validate(TOKEN)


async def test_the_first_who_waits_for_a_login_may_go_away(fake: FakeKeystone, keystone: Keystone) -> None:
    arrived = asyncio.Event()

    async def held(request: object) -> object:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    fake.faults.append(held)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        first = group.create_task(keystone.validate(TOKEN))
        await arrived.wait()
        second = group.create_task(keystone.validate(TOKEN))
        first.cancel()
        assert (await second)["token"]["user"]["id"] == "demo"


async def test_failures_are_counted_by_what_happened(fake: FakeKeystone) -> None:
    instruments = Instruments()
    async with Keystone(fake.config(http_request_max_retries=0), instruments) as keystone:
        await keystone.validate(TOKEN)
        for fault in (answer(500), cut, answer(200, "no json")):
            fake.faults.append(fault)
            with pytest.raises(Unavailable):
                await keystone.validate(TOKEN)

    def count(name: str, **labels: str) -> float | None:
        return instruments.registry.get_sample_value(name, labels)

    for error in ("server_error", "unreachable", "malformed"):
        assert count("glint_keystone_errors_total", error=error) == 1, error
    assert count("glint_keystone_seconds_count", operation="authenticate") == 1
    assert (count("glint_keystone_seconds_count", operation="validate") or 0) >= 3
