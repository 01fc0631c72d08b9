"""Imports whose process ends before them."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.content import Noise
from tests.descriptors import links_of
from tests.glint import Glint
from tests.imports.importing import (
    FAILED,
    IMPORTING,
    LOCK,
    begin,
    image_of,
    importing_glint,
    left_in,
    settled,
    tasks_of,
    wait_until,
)
from tests.origin import Fault, Gate, Origin

MIB = 1024 * 1024
DATA = Noise(3 * MIB)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_kill_left_is_cleaned_by_the_next_start(tmp_path: Path, workers: int) -> None:
    """Also data that a store had taken before the registry was told of them."""
    with Origin() as origin, importing_glint(tmp_path, {"server.workers": workers}) as glint:
        origin.add("disk", DATA)
        gate = Gate(at=MIB)
        origin.script("disk", Fault(gate=gate))
        image_id = glint.create()
        assert begin(glint, image_id, uri=origin.url("disk"), all_stores=True).status == 202
        gate.wait_reached()
        assert image_of(glint, image_id)["status"] == "importing"
        wait_until(lambda: left_in(tmp_path / "staging") != [])
        working = glint.worker_pids if workers > 1 else []
        for pid in (glint.pid, *working):
            os.kill(pid, signal.SIGSTOP)  # so that nobody cleans after another
        for pid in working:
            os.kill(pid, signal.SIGKILL)
        glint.kill()
        assert left_in(tmp_path / "staging") != []
        (tmp_path / "images" / image_id).write_bytes(b"taken, but nobody was told")
        glint.start()
        image = settled(glint, image_id)
        assert (image["status"], image[IMPORTING], image[FAILED]) == ("queued", "", "local,other")
        (task,) = tasks_of(glint, image_id)
        assert (task["status"], task["message"]) == ("failure", "The server ended before the task.")
        folders = [tmp_path / name for name in ("staging", "images", "images2")]
        wait_until(lambda: [left for folder in folders for left in left_in(folder)] == [])
        wait_until(lambda: not any((tmp_path / "staging" / "tasks").iterdir()))
        assert begin(glint, image_id, uri=origin.url("disk")).status == 202
        assert settled(glint, image_id)["status"] == "active"


def test_the_import_of_a_worker_that_dies_is_undone_by_another(tmp_path: Path) -> None:
    """Within the minute between two sweeps, or at once by the worker that takes its place."""
    with Origin() as origin, importing_glint(tmp_path, {"server.workers": 2}) as glint:
        origin.add("disk", DATA)
        gate = Gate(at=MIB)
        origin.script("disk", Fault(gate=gate))
        image_id = glint.create()
        begin(glint, image_id, uri=origin.url("disk"))
        gate.wait_reached()
        # The other one may look for a moment whether anybody has it: he sweeps when he starts.
        wait_until(lambda: len(_holders(glint, tmp_path / "staging" / "tasks")) == 1)
        (dying,) = _holders(glint, tmp_path / "staging" / "tasks")
        os.kill(dying, signal.SIGKILL)
        image = settled(glint, image_id)
        assert (image["status"], image[FAILED]) == ("queued", "local")
        gate.open()


def _holders(glint: Glint, folder: Path) -> list[int]:
    """The workers that have a file below it open."""
    return [pid for pid in glint.worker_pids if any(folder in Path(link).parents for link in links_of(pid))]


def test_a_stop_lets_an_import_end(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path, {"server.drain_s": 20}) as glint:
        origin.add("disk", DATA)
        gate = Gate(at=MIB)
        origin.script("disk", Fault(gate=gate))
        image_id = glint.create()
        begin(glint, image_id, uri=origin.url("disk"))
        gate.wait_reached()
        os.kill(glint.pid, signal.SIGTERM)
        time.sleep(0.5)
        gate.open()
        wait_until(lambda: not glint.is_running)
        glint.stop()
        glint.start()
        image = image_of(glint, image_id)
        assert (image["status"], LOCK in image) == ("active", False)
        assert tasks_of(glint, image_id)[0]["status"] == "success"


def test_a_stop_ends_an_import_that_takes_too_long(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path, {"server.drain_s": 1}) as glint:
        origin.add("disk", DATA)
        gate = Gate(at=MIB)
        origin.script("disk", Fault(gate=gate))
        image_id = glint.create()
        begin(glint, image_id, uri=origin.url("disk"))
        gate.wait_reached()
        began_s = time.monotonic()
        glint.stop()
        assert time.monotonic() - began_s < 50  # a SIGKILL comes after sixty
        assert (left_in(tmp_path / "staging"), list((tmp_path / "staging" / "tasks").iterdir())) == ([], [])
        gate.open()
        glint.start()
        image = image_of(glint, image_id)
        assert (image["status"], LOCK in image, image[FAILED]) == ("queued", False, "local")
        assert "stopped" in tasks_of(glint, image_id)[0]["message"]


def test_staged_data_of_images_that_are_gone_are_removed_at_the_start(tmp_path: Path) -> None:
    with importing_glint(tmp_path) as glint:
        kept, gone = glint.create(), glint.upload(b"active")
        glint.request("PUT", f"/v2/images/{kept}/stage", b"staged")
        glint.stop()
        for name in (gone, "00000000-0000-4000-8000-000000000000"):
            (tmp_path / "staging" / name).write_bytes(b"left")
        glint.start()
        wait_until(lambda: left_in(tmp_path / "staging") == [kept])
        assert begin(glint, kept, "glance-direct").status == 202
        assert settled(glint, kept)["status"] == "active"
