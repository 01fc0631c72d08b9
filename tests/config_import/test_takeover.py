"""A real Glance and a Glint of its imported configuration, on the same database and stores: they agree."""

import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.content import Noise
from tests.glint import Glint
from tests.peers.glance import Glance
from tests.peers.ports import free_port

CONTENT = Noise(300_000, seed=17).read()  # chance may look like a format, which a raw image must not


class Imported(Glint):
    """Serves what `glint config import` made, and nothing else."""

    def _prepare(self) -> None:
        assert self.config_path.exists()


@pytest.fixture(scope="module")
def glint(glance: Glance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glint]:
    """Where to listen is all that is said besides, in a file of Glance's form."""
    folder = tmp_path_factory.mktemp("imported")
    glint = Imported(folder, environment={"GLINT_METRICS__PORT": str(free_port())})
    listening = folder / "listening.conf"
    listening.write_text(f"[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {glint.port}\nworkers = 1\n")
    done = glint.run("config", "import", glance.directory / "glance-api.conf", listening, "-o", glint.config_path)
    assert done.returncode == 0, done.stdout + done.stderr
    with glint:
        yield glint


def ask(url: str, method: str, path: str, token: str | None, body: bytes | None = None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    kind = "application/json" if body and body.startswith(b"{") else "application/octet-stream"
    try:
        connection.request(method, path, body, {"Content-Type": kind} | ({"X-Auth-Token": token} if token else {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def new_image(url: str, token: str, **fields: Any) -> str:
    document = {"name": "taken over", "disk_format": "raw", "container_format": "bare"} | fields
    status, body = ask(url, "POST", "/v2/images", token, json.dumps(document).encode())
    assert status == 201, body
    image_id = str(json.loads(body)["id"])
    assert ask(url, "PUT", f"/v2/images/{image_id}/file", token, CONTENT)[0] == 204
    return image_id


def parsed(answer: tuple[int, bytes]) -> tuple[int, Any]:
    try:
        return answer[0], json.loads(answer[1])
    except ValueError:
        return answer


def test_both_answer_alike_about_images_stores_and_rights(glance: Glance, glint: Glint) -> None:
    demo, viewer = glance.keystone.token("demo"), glance.keystone.token("viewer")
    image_id = new_image(glance.url, demo, tags=["a"], os_distro="debian")
    questions: list[tuple[str, str, str | None]] = [
        ("GET", f"/v2/images/{image_id}", demo),
        ("GET", "/v2/images?name=taken%20over&limit=3&tag=a", demo),
        ("GET", f"/v2/images/{image_id}/file", demo),
        ("GET", f"/v2/images/{image_id}/members", demo),
        ("GET", "/v2/info/import", demo),
        ("GET", "/v2/info/stores", demo),
        ("GET", f"/v2/images/{image_id}", glance.keystone.token("alt")),
        ("GET", f"/v2/images/{image_id}", "nonsense"),
        ("DELETE", f"/v2/images/{image_id}", viewer),
        ("GET", "/v2/cache", demo),
    ]
    for method, path, token in questions:
        theirs, ours = (parsed(ask(url, method, path, token)) for url in (glance.url, glint.url))
        assert ours[0] == theirs[0], (method, path)
        if ours[0] == 200:
            assert _sorted(ours[1]) == _sorted(theirs[1]), path


def _sorted(body: Any) -> Any:
    """Stores come in no order."""
    if isinstance(body, Mapping) and "stores" in body and isinstance(body["stores"], list):
        return dict(body) | {"stores": sorted(body["stores"], key=lambda store: str(store["id"]))}
    return body


def test_what_glint_writes_glance_serves_and_glint_deletes_what_glance_has_made(glance: Glance, glint: Glint) -> None:
    demo = glance.keystone.token("demo")
    by_glint, by_glance = new_image(glint.url, demo), new_image(glance.url, demo)
    assert ask(glance.url, "GET", f"/v2/images/{by_glint}/file", demo) == (200, CONTENT)
    assert (glance.image_dirs[0] / by_glint).read_bytes() == CONTENT
    assert ask(glint.url, "DELETE", f"/v2/images/{by_glance}", demo)[0] == 204
    assert ask(glance.url, "GET", f"/v2/images/{by_glance}", demo)[0] == 404
    assert not (glance.image_dirs[0] / by_glance).exists()


def test_the_cache_lies_beside_that_of_glance(glance: Glance, glint: Glint) -> None:
    assert (Path(glance.directory) / "cache" / "glint" / "VERSION").exists()
