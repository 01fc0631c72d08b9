"""`glint registry serve` and Glints that use it: from the API to the database, and what ends on the way."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.commands.config import check
from proxy.commands.serve import run
from proxy.config import load
from proxy.fronts import REGISTRY
from proxy.startup import STARTUP_ERRORS
from tests.clients import download, fast_digest
from tests.content import MIB, Noise
from tests.glint import LEFT_OUT, Glint
from tests.origin import Fault, Gate, Origin
from tests.registry_service import KEY, RegistryService
from upstream.registry import RegistryMisconfigured, open_registry

CONTENT = Noise(8 * MIB + 7, seed=91)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryService]:
    with RegistryService(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="module")
def glint(tmp_path_factory: pytest.TempPathFactory, service: RegistryService) -> Iterator[Glint]:
    bounds = {"registry.connect_s": 1, "registry.statement_s": 2, "deletion.delayed": True}
    with Glint(tmp_path_factory.mktemp("glint"), service.settings_of_clients | bounds) as served:
        yield served


def until(holds: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_an_image_is_made_shared_listed_changed_downloaded_and_deleted(glint: Glint, service: RegistryService) -> None:
    data = CONTENT.read()
    image_id = glint.upload(data, name="far", visibility="shared", tags=["a"], os_distro="debian")
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    change = json.dumps([{"op": "replace", "path": "/os_distro", "value": "Ünïx"}]).encode()
    assert glint.request("PATCH", f"/v2/images/{image_id}", change, headers=patch).status == 200
    assert glint.request("POST", f"/v2/images/{image_id}/members", {"member": "others"}).status == 200
    assert glint.request("PUT", f"/v2/images/{image_id}/tags/b").status == 204
    listed = glint.get("/v2/images?os_distro=%C3%9Cn%C3%AFx&sort=name:asc").json["images"]
    assert [(each["id"], each["status"], sorted(each["tags"])) for each in listed] == [(image_id, "active", ["a", "b"])]
    assert glint.get(f"/v2/images/{image_id}/members").json["members"][0]["member_id"] == "others"
    assert glint.get(f"/v2/images/{image_id}/file").content == data
    assert glint.request("POST", f"/v2/images/{image_id}/members", {"member": "others"}).status == 409
    assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
    assert glint.get(f"/v2/images/{image_id}").status == 404
    assert glint.request("POST", "/v2/images", {"id": image_id}).status == 409
    namespace = {"namespace": "Far", "properties": {"p": {"title": "P", "type": "string", "default": "x"}}}
    assert glint.request("POST", "/v2/metadefs/namespaces", namespace).status == 201
    assert glint.get("/v2/metadefs/namespaces/Far").json["properties"]["p"]["default"] == "x"
    assert service.metrics().value("glint_registry_requests_total", operation="images.update", result="ok") > 0


def test_what_waits_for_its_deletion_is_brought_back_and_scrubbed_from_afar(glint: Glint) -> None:
    image_id = glint.upload(b"data")
    assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
    restored = glint.run("scrub", "--restore", image_id)
    assert restored.returncode == 0, restored.stderr
    assert glint.get(f"/v2/images/{image_id}/file").content == b"data"
    assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
    ends = [json.loads(line) for line in glint.run("scrub", "--json").stdout.splitlines()]
    assert (image_id, "deleted") in [(each["image"], each["ended"]) for each in ends]
    assert not (glint.directory / "images" / image_id).exists()


def test_each_request_is_told_in_the_log(glint: Glint, service: RegistryService) -> None:
    asked = {"X-Openstack-Request-Id": "req-told"}
    assert glint.request("GET", "/v2/images/none", headers=asked).status == 404
    lines = [json.loads(line) for line in service.log.splitlines() if '"request.finished"' in line]
    (told,) = (line for line in lines if line["request_id"] == "req-told")  # others are asked for by nobody
    assert (told["operation"], told["result"], told["project_id"]) == ("images.get", "NotFound", None)
    assert told["request_id"].startswith("req-")
    assert told["duration_s"] > 0


def test_the_key_is_shown_nowhere(glint: Glint, service: RegistryService) -> None:
    shown = service.run("config", "show")
    assert (shown.returncode, "***" in shown.stdout) == (0, True)
    assert KEY not in shown.stdout
    for each in (glint, service):
        assert KEY not in each.log


def test_commands_that_need_the_registry_ask_the_service(glint: Glint, tmp_path: Path) -> None:
    assert glint.request("POST", "/v2/metadefs/namespaces", {"namespace": "Exported"}).status == 201
    exported = glint.run("registry", "metadefs", "export", tmp_path / "out")
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "out" / "exported.json").exists() or list((tmp_path / "out").glob("*.json"))


@pytest.mark.parametrize("end", ["kill", "stop"])  # in this order: the log goes on
def test_downloads_outlive_the_registry_and_the_rest_comes_back_with_it(
    glint: Glint, service: RegistryService, end: str
) -> None:
    """In mid-download of an image that is nowhere in the cache; what asks for metadata meanwhile gets 503 in time."""
    with Origin() as origin:
        origin.add("disk", CONTENT)
        gate = Gate(at=MIB)
        origin.script("disk", Fault(gate=gate))
        image_id = glint.register(origin.url("disk"), CONTENT)
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(download, f"{glint.url}/v2/images/{image_id}/file")
            gate.wait_reached()
            getattr(service, end)()
            try:
                assert ('"server.stopped"' in service.log) == (end == "stop")
                for method, path in (("GET", ""), ("DELETE", ""), ("PUT", "/tags/late"), ("GET", "/file")):
                    began_s = time.monotonic()
                    refused = glint.request(method, f"/v2/images/{image_id}{path}", timeout_s=60)
                    assert (refused.status, b"registry" in refused.content) == (503, True)
                    assert time.monotonic() - began_s < 30
            finally:
                gate.open()
                digest = asking.result()
                service.start()
        assert digest == fast_digest(CONTENT)
        until(lambda: glint.get(f"/v2/images/{image_id}").status == 200)
        assert glint.get(f"/v2/images/{image_id}").json["tags"] == []
        assert glint.request("PUT", f"/v2/images/{image_id}/tags/late").status == 204
        assert download(f"{glint.url}/v2/images/{image_id}/file") == fast_digest(CONTENT)


def test_a_registry_that_hangs_is_503_in_time(glint: Glint, service: RegistryService) -> None:
    """Its sockets take what is sent; nothing comes back."""
    image_id = glint.create()
    with service.frozen():
        began_s = time.monotonic()
        assert glint.request("GET", f"/v2/images/{image_id}", timeout_s=60).status == 503
        assert glint.request("DELETE", f"/v2/images/{image_id}", timeout_s=60).status == 503
        assert time.monotonic() - began_s < 30
    until(lambda: glint.get(f"/v2/images/{image_id}").status in {200, 404})  # the second one may yet have been done


def test_several_processes_are_one_service_and_those_that_die_are_replaced(tmp_path: Path) -> None:
    """Their numbers are summed. A Glint that comes to another process than before finds out, and goes on there."""
    settings = {"registry.service.workers": 2}
    with (
        RegistryService(tmp_path / "registry", settings) as service,
        Glint(tmp_path / "glint", service.settings_of_clients) as glint,
    ):
        until(lambda: service.metrics().value("glint_workers") == 2)
        with ThreadPoolExecutor(16) as threads:
            statuses = list(threads.map(lambda number: glint.get(f"/v2/images/none-{number}").status, range(64)))
        assert statuses == [404] * 64
        asked = {"operation": "images.get", "result": "NotFound"}
        service.until_counted(64, "glint_registry_requests_total", **asked)
        for _ in range(2):  # all that came before may have come to one of them
            victims = set(service.worker_pids)
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            until(lambda victims=victims: not victims & set(service.worker_pids))  # type: ignore[misc]
            until(lambda: glint.get("/v2/images").status == 200)
        assert service.metrics().value("glint_registry_refusals_total", reason="audience") > 1
        assert service.metrics().value("glint_registry_refusals_total", reason="signature") == 0


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["registry.remote.key=null"], "registry.remote.key: registry serve needs it"),
        (
            ["registry.kind=glance", "registry.glance.url=http://127.0.0.1:9"],
            "registry.kind: registry serve serves a database",
        ),
        (["registry.url=sqlite:////proc/nowhere/registry.db"], "registry is unavailable"),
        (["registry.service.host=192.0.2.1"], "registry.service.host, registry.service.port: cannot listen"),
        (["registry.service.metrics.host=192.0.2.1"], "registry.service.metrics.host, registry.service.metrics.port: "),
        (["registry.service.tls={certificate: no.pem, key: no.pem}"], "No such file"),
    ],
    ids=["no key", "a Glance's", "no database", "an address of others", "numbers at one of others", "no certificate"],
)
def test_a_service_that_cannot_be_says_what_to_mend(tmp_path: Path, overrides: list[str], told: str) -> None:
    good = [f"registry.url=sqlite:///{tmp_path}/registry.db", f"registry.remote.key={KEY}"]
    ports = ["registry.service.port=0", "registry.service.metrics.port=0"]
    with pytest.raises(STARTUP_ERRORS) as refused:
        run(REGISTRY, load(None, [*good, *ports, *overrides]))
    assert told in str(refused.value)


def test_a_service_without_a_key_ends_with_a_sentence(tmp_path: Path) -> None:
    service = RegistryService(tmp_path / "new", {"registry.remote.key": LEFT_OUT})
    service.directory.mkdir()
    service._prepare()
    refused = service.run("registry", "serve")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("glint: registry.remote.key: registry serve needs it")


@pytest.mark.parametrize("missing", ["url", "key"])
def test_a_glint_without_the_address_or_the_key_of_its_registry_does_not_start(missing: str) -> None:
    given = {"url": "http://127.0.0.1:9", "key": KEY}
    config = load(
        None, ["registry.kind=remote", *(f"registry.remote.{k}={v}" for k, v in given.items() if k != missing)]
    )
    told = f"registry.remote.{missing}: kind remote needs"
    assert [problem for problem in check(config) if problem.startswith(told)]
    with pytest.raises(RegistryMisconfigured, match=told):
        open_registry(config.registry)
