"""Images whose deletion a Glance has delayed are scrubbed by Glint, and the other way round, on one database."""

import json
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.content import Noise
from tests.glint import Glint
from tests.peers import Glance, GlanceOptions, Keystone, Memcached
from tests.peers.environments import ensure_environment

DATA = Noise(100_003, seed=8).read()
# Everybody may do everything, so that neither a Keystone nor a memcached has to run.
_SETTINGS = """\
[DEFAULT]
delayed_delete = True
enabled_import_methods = []
[paste_deploy]
flavor =
"""
_RULES = ("add_image", "upload_image", "delete_image", "get_image", "download_image")
_TABLES = ("images", "image_locations", "image_properties", "image_tags", "image_members")


@dataclass(frozen=True, slots=True)
class Both:
    """A Glance and a Glint that run at once."""

    glance: Glance
    glint: Glint

    def scrub_by_glance(self) -> None:
        scrubber = ensure_environment("glance") / "bin" / "glance-scrubber"
        config = self.glance.directory / "glance-api.conf"
        subprocess.run([scrubber, "--config-file", config], check=True, capture_output=True, timeout=120)

    def scrub_by_glint(self, *arguments: str) -> None:
        done = self.glint.run("scrub", *arguments)
        assert done.returncode == 0, done.stderr

    def rows(self, image_id: str) -> Mapping[str, Any]:
        """Of the image and all that hangs on it, without ids and times: what is deleted, and the status."""
        found = {}
        with closing(sqlite3.connect(self.glint.directory / "glance.db", timeout=30)) as database:
            database.row_factory = sqlite3.Row
            for table in _TABLES:
                key = "id" if table == "images" else "image_id"
                rows = database.execute(f"SELECT * FROM {table} WHERE {key} = ?", (image_id,))
                shown = ("status", "deleted", "name", "value") if table != "image_locations" else ("status", "deleted")
                found[table] = sorted(
                    [{key: value for key, value in dict(row).items() if key in shown} for row in rows], key=str
                )
        return found

    def lies_in_store(self, image_id: str) -> bool:
        return any((folder / image_id).exists() for folder in self.glance.image_dirs)


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    data = body if isinstance(body, bytes) or body is None else json.dumps(body)
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, data, {} if body is None else {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read()


def deleted(port: int, name: str) -> str:
    """An image with a property and a tag whose deletion was delayed."""
    fields = {"disk_format": "raw", "container_format": "bare", "name": name, "tags": ["t"], "colour": "blue"}
    status, answer = ask(port, "POST", "/v2/images", fields)
    assert status == 201, answer
    image_id = str(json.loads(answer)["id"])
    assert ask(port, "PUT", f"/v2/images/{image_id}/file", DATA)[0] == 204
    assert ask(port, "DELETE", f"/v2/images/{image_id}")[0] == 204
    assert ask(port, "GET", f"/v2/images/{image_id}")[0] == 404
    return image_id


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    for name in ("glance", "glint"):
        (tmp_path / name).mkdir()
    url = f"sqlite:///{tmp_path}/glint/glance.db"
    keystone, memcached = Keystone(tmp_path / "keystone"), Memcached(tmp_path / "memcached")
    rules = "".join(f'"{rule}": ""\n' for rule in _RULES)
    options = GlanceOptions(settings=_SETTINGS, image_cache=False, processes=1, threads=2, files={"policy.yaml": rules})
    glance = Glance(tmp_path / "glance", keystone, memcached, options=options, database_url=url)
    images, images2 = glance.image_dirs
    settings = {
        "registry.url": url,
        "deletion.delayed": True,
        "stores.default": "file",
        "stores.backends.local": {"dir": "unused"},
        "stores.backends.file": {"kind": "file", "dir": str(images), "weight": 100},
        "stores.backends.second": {"kind": "file", "dir": str(images2)},
    }
    with Glint(tmp_path / "glint", settings) as glint:
        (tmp_path / "glance" / "made").touch()  # the tables are Glint's
        glance.start()
        try:
            yield Both(glance, glint)
        finally:
            glance.close()


@pytest.mark.timeout(180)
def test_what_one_has_left_pending_the_other_scrubs(both: Both) -> None:
    of_glance = [deleted(both.glance.port, f"glance {number}") for number in range(3)]
    of_glint = [deleted(both.glint.port, f"glance {number}") for number in range(3)]
    assert both.rows(of_glint[0]) == both.rows(of_glance[0]), "as Glance leaves them"
    assert both.rows(of_glance[0])["images"][0]["status"] == "pending_delete"

    for image_id in (of_glance[2], of_glint[2]):
        both.scrub_by_glint("--restore", image_id)
        for port in (both.glance.port, both.glint.port):
            shown = json.loads(ask(port, "GET", f"/v2/images/{image_id}")[1])
            assert (shown["status"], shown["colour"], shown["tags"]) == ("active", "blue", ["t"])
            assert ask(port, "GET", f"/v2/images/{image_id}/file") == (200, DATA)

    assert all(both.lies_in_store(image_id) for image_id in (*of_glance, *of_glint))
    both.scrub_by_glance()
    scrubbed_by_glance = both.rows(of_glint[0])
    assert not any(both.lies_in_store(image_id) for image_id in (*of_glance[:2], *of_glint[:2]))
    assert scrubbed_by_glance["images"][0]["status"] == "deleted"

    again = deleted(both.glance.port, "glance 0"), deleted(both.glint.port, "glance 0")
    both.scrub_by_glint()
    assert not any(both.lies_in_store(image_id) for image_id in again)
    assert [both.rows(image_id) for image_id in again] == [scrubbed_by_glance] * 2
    for image_id in (of_glance[2], of_glint[2]):
        assert ask(both.glance.port, "GET", f"/v2/images/{image_id}/file") == (200, DATA)
