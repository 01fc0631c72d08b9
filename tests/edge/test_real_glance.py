"""Glint before a real Glance with a real Keystone: nobody can tell, but for how soon the bytes come."""

import http.client
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.content import MIB, Noise
from tests.glint import Answer, Glint
from tests.parity.cases import GROUPS
from tests.parity.comparison import Expected, load_differences, load_recorded
from tests.parity.keystone import tokens_from
from tests.parity.model import Case
from tests.parity.origin import serve_origin
from tests.parity.runner import cases_of
from tests.parity.session import Session
from tests.parity.variants import SETUPS
from tests.peers.clients import ClientFailed
from tests.peers.driven_clients import DrivenClients
from tests.peers.glance import Glance
from tests.peers.keystone import Keystone
from tests.peers.memcached import Memcached

CONTENT = Noise(8 * MIB + 7, seed=31)
FORMATS = ("--disk-format", "raw", "--container-format", "bare")


@dataclass(frozen=True, slots=True)
class Cloud:
    glint: Glint
    glance: Glance
    keystone: Keystone

    def reads(self) -> float:
        """How often image data were read of Glance so far."""
        return self.glint.metrics().value("glint_glance_seconds_count", operation="read")

    def until_read(self, times: float) -> None:
        """Wait until that was so often: a read is counted a moment after its last byte has gone out."""
        self.glint.until_counted(times, "glint_glance_seconds_count", operation="read")

    def upload(self, token: str, **fields: str) -> str:
        return self.glint.upload(CONTENT.read(), token=token, **fields)

    def direct(self, path: str, token: str | None) -> tuple[int, bytes, str | None]:
        """Status, body and challenge of Glance itself."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.glance.url.rsplit(":", 1)[1]), timeout=30)
        with closing(connection):
            connection.request("GET", path, headers={"X-Auth-Token": token} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers["WWW-Authenticate"]

    def download(self, image_id: str, token: str | None) -> Answer:
        return self.glint.get(f"/v2/images/{image_id}/file", token=token)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone, memcached: Memcached) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("edge")
    options = SETUPS["default"].glance
    with Glance(folder / "glance", keystone, memcached, options=options) as glance:
        settings = {"registry.kind": "glance", "registry.glance.url": glance.url, "server.workers": 2}
        with Glint(folder / "glint", settings) as glint:
            yield Cloud(glint, glance, keystone)


def test_real_clients_create_save_set_and_delete(cloud: Cloud, driven: DrivenClients, tmp_path: Path) -> None:
    disk, saved, again = (tmp_path / name for name in ("disk.raw", "saved.raw", "again.raw"))
    disk.write_bytes(CONTENT.read())
    env = cloud.keystone.openrc("demo", image_url=cloud.glint.url)
    made = driven.openstack(env, "image", "create", "-f", "json", *FORMATS, "--file", disk, "edge").json()
    assert driven.openstack(env, "image", "show", "-f", "json", "edge").json()["status"] == "active"
    driven.openstack(env, "image", "set", "--property", "os_distro=debian", "edge")
    listed = driven.openstack(env, "image", "list", "-f", "json", "--property", "os_distro=debian").json()
    assert [row["ID"] for row in listed] == [made["id"]]
    driven.openstack(env, "image", "save", "--file", saved, "edge")
    driven.glance(env, "image-download", "--file", again, made["id"])
    assert saved.read_bytes() == again.read_bytes() == CONTENT.read()
    driven.openstack(env, "image", "delete", "edge")
    with pytest.raises(ClientFailed, match="No Image found for edge"):
        driven.openstack(env, "image", "show", "edge")


def test_fifty_clients_of_two_workers_are_one_read_of_glance(cloud: Cloud) -> None:
    token = cloud.keystone.token("demo")
    image_id, before = cloud.upload(token), cloud.reads()
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: cloud.download(image_id, token), range(50)))
    assert {answer.status for answer in answers} == {200}
    assert {answer.content for answer in answers} == {CONTENT.read()}
    assert answers[0].headers["Content-MD5"] == CONTENT.digest("md5")
    cloud.until_read(before + 1)


def test_who_may_have_an_image_is_what_glance_says_now(cloud: Cloud) -> None:
    demo, alt, admin = (cloud.keystone.token(user) for user in ("demo", "alt", "admin"))
    image_id, before = cloud.upload(demo, visibility="private"), cloud.reads()
    assert cloud.download(image_id, demo).content == CONTENT.read()
    cloud.until_read(before + 1)
    for token, status in ((alt, 404), ("no-keystone-issued-this", 401), (None, 401), (admin, 200), (demo, 200)):
        direct = cloud.direct(f"/v2/images/{image_id}/file", token)
        answer = cloud.download(image_id, token)
        assert (answer.status, answer.content, answer.headers["WWW-Authenticate"]) == direct
        assert answer.status == status
    path = f"/v2/images/{image_id}"
    assert cloud.glint.request("POST", f"{path}/actions/deactivate", token=admin).status == 204
    assert [cloud.download(image_id, token).status for token in (demo, admin)] == [403, 200]
    assert cloud.glint.request("POST", f"{path}/actions/reactivate", token=admin).status == 204
    assert cloud.download(image_id, demo).status == 200
    assert cloud.reads() == before + 1  # all of it out of the cache
    assert cloud.glint.request("DELETE", path, token=demo).status == 204
    assert [cloud.download(image_id, token).status for token in (demo, admin)] == [404, 404]
    assert image_id not in cloud.glint.get("/v2/cache", token=admin).content.decode()


def test_prewarm_brings_an_image_in_with_the_operators_token(cloud: Cloud) -> None:
    demo, admin = cloud.keystone.token("demo"), cloud.keystone.token("admin")
    image_id = cloud.upload(demo, visibility="private")
    before = cloud.reads()
    refused = cloud.glint.run("prewarm", image_id, environment={"OS_TOKEN": demo})
    assert refused.returncode != 0
    assert "cache_list" in refused.stderr
    done = cloud.glint.run("prewarm", "--pin", image_id, environment={"OS_TOKEN": admin})
    assert done.returncode == 0, done.stderr
    cloud.until_read(before + 1)
    assert cloud.download(image_id, demo).content == CONTENT.read()
    assert cloud.reads() == before + 1


def test_answers_are_those_of_the_glance_behind(cloud: Cloud) -> None:
    """One in forty of the cases that Glint answers as Glance does; all of them in the long form."""
    found = reports(cloud, of_glance()[::40])
    assert not found, "\n\n".join(found)


@pytest.mark.long
def test_all_answers_are_those_of_the_glance_behind(cloud: Cloud) -> None:
    found = reports(cloud, of_glance())
    assert not found, "\n\n".join(found)


def of_glance() -> Sequence[Case]:
    """But for those of the cache, which is Glint's: there Glance is asked first whether the caller may manage one.

    Nor those that list two tasks which may be of the same second: a Glance has no order among them.
    """
    return [
        case
        for case in cases_of("default")
        if case not in GROUPS["cache"]
        and case.name not in {"who may use the cache", "tasks of several imports"}
        and not case.name.startswith("import from the web what cannot be had")
    ]


def reports(cloud: Cloud, cases: Sequence[Case]) -> list[str]:
    """What is answered otherwise than recorded of a Glance, but for the cache and ranges, where Glint has its own."""
    recorded, differences = load_recorded("default"), load_differences()
    with serve_origin() as origin:
        session = Session(url=cloud.glint.url, origin=origin, token=tokens_from(cloud.keystone.url))
        session.learn_projects()
        found: list[str] = []
        for case in cases:
            theirs = Expected(case=case.name, recorded=recorded[case.name])
            ours = Expected(case=case.name, recorded=recorded[case.name], differences=differences)
            # What Glint answers itself is as from any Glint, and may be one step among others that Glance answers.
            for number, answer in enumerate(session.run(case, theirs.is_met), start=1):
                if not theirs.is_met(number, answer) and (report := ours.report(number, answer)):
                    found.append(report)
        return found
