"""Images of a Glint whose only store is a Ceph, and of a Glance on the same pool."""

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.glint import LEFT_OUT, Glint
from tests.origin import MIB, Noise
from tests.peers import Ceph, ensure_environment
from tests.peers.ceph_bindings import link_bindings

DRIVER = Path(__file__).with_name("glance_store_driver.py")
Glances = Callable[..., str]


def settings(ceph: Ceph, **options: int) -> dict[str, object]:
    store = {"kind": "rbd", "ceph_conf": str(ceph.config), "user": ceph.user, "fsid": ceph.fsid, **options}
    backends = {"ceph": store, "local": LEFT_OUT, "web": LEFT_OUT}
    return {"stores": {"default": "ceph", "backends": backends}, "api.show_multiple_locations": True}


@pytest.fixture
def glint(tmp_path: Path, ceph: Ceph) -> Iterator[Glint]:
    with Glint(tmp_path, settings(ceph)) as served:
        yield served


@pytest.fixture
def glances(tmp_path: Path, ceph: Ceph) -> Glances:
    """Runs the store code of a real Glance."""
    home = ensure_environment("glance")
    link_bindings(next(home.glob("lib/python3*/site-packages")))
    config = tmp_path / "glance.conf"
    config.write_text(
        "[DEFAULT]\nenabled_backends = store:rbd\n[glance_store]\ndefault_backend = store\n"
        f"[store]\nrbd_store_ceph_conf = {ceph.config}\nrbd_store_user = {ceph.user}\n"
    )

    def run(*arguments: str | Path) -> str:
        command = [home / "bin" / "python", "-W", "ignore", DRIVER, config, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def names(ceph: Ceph) -> list[str]:
    return ceph.rbd("ls", ceph.pool).split()


def test_an_image_goes_into_a_ceph_and_comes_out_and_leaves_nothing(glint: Glint, ceph: Ceph) -> None:
    content = Noise(20 * MIB + 3, seed=1)
    image_id = glint.upload(content.read())

    image = glint.get(f"/v2/images/{image_id}").json
    assert (image["status"], image["size"], image["stores"]) == ("active", content.size_bytes, "ceph")
    assert names(ceph) == [image_id]
    for _ in ("cold", "hot"):
        answer = glint.get(f"/v2/images/{image_id}/file")
        assert (answer.status, answer.content) == (200, content.read())
    glint.until_counted(content.size_bytes, "glint_store_bytes_total", store="ceph", operation="read")
    (detail,) = glint.get("/v2/info/stores/detail").json["stores"]
    assert detail["properties"] == {
        "chunk_size": 8 * MIB,
        "pool": "images",
        "thin_provisioning": False,
        "fsid": ceph.fsid,
    }
    ceph.rbd("clone", f"images/{image_id}@snap", "images/disk-of-a-server")
    assert glint.request("DELETE", f"/v2/images/{image_id}").status == 409
    assert glint.get(f"/v2/images/{image_id}").json["status"] == "active"
    ceph.rbd("rm", "images/disk-of-a-server")
    assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
    assert names(ceph) == []


def test_glance_and_glint_read_and_delete_what_the_other_stored(
    glint: Glint, glances: Glances, ceph: Ceph, tmp_path: Path
) -> None:
    content = Noise(17 * MIB + 1, seed=2)
    image_id = glint.upload(content.read())
    (location,) = glint.get(f"/v2/images/{image_id}").json["locations"]

    glances("get", location["url"], tmp_path / "data")
    glances("delete", location["url"])
    assert (tmp_path / "data").read_bytes() == content.read()
    assert names(ceph) == []

    assert glances("put", image_id, tmp_path / "data") == location["url"]
    assert glint.get(f"/v2/images/{image_id}/file").content == content.read()
    assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
    assert names(ceph) == []


def test_a_ceph_that_hangs_is_said_to_and_nothing_else_hangs(tmp_path: Path, ceph: Ceph) -> None:
    content = Noise(5 * MIB, seed=3)
    with Glint(tmp_path, settings(ceph, connect_s=2, mon_s=2, osd_s=2, threads_max=2)) as glint:
        image_id = glint.upload(content.read())
        path = f"/v2/images/{image_id}/file"
        with ceph.frozen(), ThreadPoolExecutor(4) as threads:
            asked = [threads.submit(glint.get, path) for _ in range(4)]
            assert glint.get("/healthcheck").status == 200
            assert glint.get(f"/v2/images/{image_id}").json["status"] == "active"
            assert glint.request("DELETE", f"/v2/images/{image_id}").status == 503
            assert {each.result().status for each in asked} == {503}
            assert glint.get(f"/v2/images/{image_id}").json["status"] == "active"
        deadline_s = time.monotonic() + 60
        while (answer := glint.get(path)).status == 503 and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert (answer.status, answer.content) == (200, content.read())
        assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
