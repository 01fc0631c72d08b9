"""What every route has in common: versions, methods, error bodies, request ids, who may pass."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from proxy import listening
from proxy.direct import DirectApp
from proxy.middleware.errors import errors
from proxy.middleware.request_id import name_response
from proxy.middleware.state import STATE, State
from tests.api.client import Client, served_with
from tests.served import config_for, serving
from upstream.errors import Unauthenticated, Unavailable
from upstream.types import Context

READER = Context(user_id="u", project_id="p", roles=frozenset({"reader"}))
MEMBER = Context(user_id="u", project_id="p", roles=frozenset({"reader", "member"}))
OTHER = Context(user_id="v", project_id="q", roles=frozenset({"reader", "member"}))


class Doorkeeper:
    """Knows people by their token; behaves as the errors tell."""

    challenge: str | None = 'Keystone uri="http://keystone/v3"'
    people: Mapping[str, Any] = {
        "reader": READER,
        "member": MEMBER,
        "other": OTHER,
        "looker": replace(MEMBER, read_only=True),
        "unlucky": Unavailable("Keystone", retry_after_s=1.2),
        "bug": ZeroDivisionError("secret"),
    }

    async def authenticate(self, headers: Mapping[str, str], *, method: str, path: str, request_id: str) -> Context:
        found = self.people.get(headers.get("X-Auth-Token", ""), Unauthenticated("no"))
        if isinstance(found, Exception):
            raise found
        context: Context = found
        return replace(context, request_id=request_id)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Client]:
    """A Glint behind a doorkeeper of the test's own."""
    async with serving(config_for(tmp_path)) as served, served_with(served, authenticator=Doorkeeper()) as client:
        yield client


def by(token: str) -> dict[str, str]:
    return {"X-Auth-Token": token}


@pytest.mark.parametrize("path", ["/", "/v1/images", "/v3", "/images"])
async def test_a_path_without_a_version_gets_the_choices(guarded: Client, path: str) -> None:
    answer = await guarded.ask("GET", path)
    assert answer.status == 300
    assert answer.json["versions"][0]["id"] == "v2.18"
    assert "x-openstack-request-id" not in answer.headers


async def test_versions_name_the_public_endpoint(tmp_path: Path) -> None:
    async with serving(config_for(tmp_path, {"server": {"public_endpoint": "https://images.example"}})) as served:
        answer = await Client(served).ask("GET", "/versions")
    assert answer.status == 200
    assert answer.json["versions"][0]["links"][0]["href"] == "https://images.example/v2/"


async def test_every_version_prefix_means_the_same(client: Client) -> None:
    plain = await client.ask("GET", "/v2/images")
    assert (await client.ask("GET", "/v2.18/images")).json == plain.json
    accept = {"Accept": "application/vnd.openstack.images-v2.9"}
    assert (await client.ask("GET", "/images", headers=accept)).json == plain.json
    redirect = await client.ask("GET", "/v2")
    assert (redirect.status, redirect.headers["Location"]) == (302, f"{client.served.url}/v2/")


async def test_health_is_told_to_everybody(tmp_path: Path) -> None:
    switch = tmp_path / "disabled"
    async with serving(config_for(tmp_path, {"api": {"healthcheck_disable_file": switch}})) as served:
        client = Client(served)
        well = await client.ask("GET", "/healthcheck")
        assert (well.status, well.text) == (200, "OK")
        assert (await client.ask("HEAD", "/healthcheck")).status == 204
        await asyncio.to_thread(switch.touch)
        ill = await client.ask("GET", "/healthcheck", headers={"Accept": "application/json"})
        assert (ill.status, ill.json) == (503, {"detailed": False, "reasons": ["DISABLED BY FILE"]})


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("HEAD", "/v2/images/x/file", 405, "GET, PUT"),
        ("HEAD", "/v2/images", 405, "GET, POST"),
        ("PUT", "/v2/images/x", 405, "GET, PATCH, DELETE"),
        ("TRACE", "/v2/images", 405, "GET, POST"),
        ("TRACE", "/v2/nowhere", 501, None),
        ("GET", "/v2/nowhere", 404, None),
        ("GET", "/v2/", 404, None),
        ("GET", "/v2/images/a%2Fb", 404, None),
        ("GET", "/v2/images/%ff", 400, None),
        ("GET", "/v2/images/%00", 400, None),
        ("OPTIONS", "/v2/images", 200, None),
    ],
)
async def test_wrong_methods_and_paths(client: Client, method: str, path: str, status: int, allow: str | None) -> None:
    answer = await client.ask(method, path)
    assert (answer.status, answer.headers.get("Allow")) == (status, allow)


@pytest.mark.parametrize("path", ["/v2/images/x", "/v2/schemas/image", "/v2/info/stores", "/v2/images/x/file"])
async def test_a_body_where_none_belongs_is_refused(client: Client, path: str) -> None:
    assert (await client.ask("GET", path, data=b"x")).status == 400


@pytest.mark.parametrize(
    ("sent", "answered"),
    [("mine", "req-mine"), ("req-mine", "req-mine"), ("a b", "req-a b"), ("x" * 64, "req-" + "x" * 64)],
)
async def test_a_request_keeps_the_name_its_client_gave_it(client: Client, sent: str, answered: str) -> None:
    answer = await client.ask("GET", "/v2/nowhere", headers={"X-Openstack-Request-Id": sent})
    assert answer.headers["x-openstack-request-id"] == answered


async def test_a_name_that_is_too_long_is_replaced(client: Client) -> None:
    answer = await client.ask("GET", "/v2/images", headers={"X-Openstack-Request-Id": "x" * 65})
    assert len(answer.headers["x-openstack-request-id"]) == len("req-") + 36


@pytest.mark.parametrize("path", ["/v2/images", "/v2/nowhere", "/v2"])
async def test_who_is_nobody_learns_nothing(guarded: Client, path: str) -> None:
    answer = await guarded.ask("GET", path, headers=by("stranger"))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == Doorkeeper.challenge
    assert "x-openstack-request-id" not in answer.headers


async def test_an_outage_says_when_to_come_again(guarded: Client) -> None:
    answer = await guarded.ask("GET", "/v2/images", headers=by("unlucky"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


async def test_an_unexpected_error_is_logged_and_not_told(guarded: Client) -> None:
    with capture_logs() as logs:
        answer = await guarded.ask("GET", "/v2/images", headers=by("bug") | {"Accept": "application/json"})
    assert (answer.status, answer.json["title"]) == (500, "Internal Server Error")
    assert "secret" not in answer.text
    assert any(isinstance(entry.get("exc_info"), ZeroDivisionError) for entry in logs)


async def test_an_error_after_the_head_cuts_the_connection(client: Client) -> None:
    """No client takes the part for the whole, and nobody writes a second answer into the first."""

    async def fails_in_the_middle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "4"})
        await response.prepare(request)
        await response.write(b"ab")
        raise ZeroDivisionError

    async def guarded(request: web.Request) -> web.StreamResponse:
        request[STATE] = State()
        return await errors(request, handler=fails_in_the_middle, services=client.served.services)

    listeners = await listening.bind("127.0.0.1", 0, "server")
    host, port = listening.address_of(listeners)
    async with listening.serving(DirectApp(guarded, [name_response]), listeners, drain_s=5):
        with capture_logs() as logs, pytest.raises(aiohttp.ClientError):
            async with client.served.session.get(f"http://{host}:{port}/") as answer:
                await answer.read()
    told = [entry["event"] for entry in logs if entry["event"].startswith(("request.", "response."))]
    assert told == ["response.cut"]


async def test_a_refusal_does_not_betray_what_the_caller_cannot_see(guarded: Client) -> None:
    """Forbidden for those who see the image, not found for the others, on every way to touch it."""
    made = await guarded.ask("POST", "/v2/images", json={"visibility": "private"}, headers=by("member"))
    path = made.json["self"]
    for method, below in [("DELETE", ""), ("PUT", "/tags/x"), ("DELETE", "/tags/x"), ("GET", "/locations")]:
        seen = await guarded.ask(method, path + below, headers=by("reader"))
        hidden = await guarded.ask(method, path + below, headers=by("other"))
        assert (seen.status, hidden.status) == (403, 404), (method, below)


async def test_an_image_that_cannot_be_seen_is_no_marker(guarded: Client) -> None:
    """As in Glance this alone tells that it exists."""
    made = await guarded.ask("POST", "/v2/images", json={"visibility": "private"}, headers=by("member"))
    image_id = made.json["id"]
    for token, marker, status in [("member", image_id, 200), ("other", image_id, 403), ("other", "nothing", 400)]:
        answer = await guarded.ask("GET", f"/v2/images?marker={marker}", headers=by(token))
        assert answer.status == status, (token, marker)


async def test_policy_decides_who_creates_what(guarded: Client) -> None:
    for token, body, status in [
        ("reader", {}, 403),
        ("member", {}, 201),
        ("member", {"owner": "q"}, 403),
        ("member", {"visibility": "public"}, 403),
        ("member", {"visibility": "community"}, 201),
        ("looker", {}, 403),
    ]:
        answer = await guarded.ask("POST", "/v2/images", json=body, headers=by(token))
        assert answer.status == status, (token, body, answer.text)


async def test_a_member_cannot_publish_or_give_away(guarded: Client) -> None:
    path = (await guarded.ask("POST", "/v2/images", json={}, headers=by("member"))).json["self"]
    media = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    for name, value in [("visibility", "public"), ("owner", "q")]:
        body = f'[{{"op": "replace", "path": "/{name}", "value": "{value}"}}]'
        answer = await guarded.ask("PATCH", path, data=body, headers=by("member") | media)
        assert answer.status == 403, name


async def test_each_request_is_counted_and_logged_once(client: Client) -> None:
    with capture_logs() as logs:
        await client.ask("GET", "/v2/images")
        await client.ask("GET", "/v2/nowhere")
    finished = [entry for entry in logs if entry["event"] == "request.finished"]
    assert [(entry["route"], entry["status"]) for entry in finished] == [("/v2/images", 200), ("unmatched", 404)]
    assert finished[0]["body_bytes"] > 0
    counted = client.served.counted("glint_http_requests_total", method="GET", route="/v2/images", status="200")
    assert counted == 1
