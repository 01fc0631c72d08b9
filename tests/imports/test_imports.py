"""What an import leaves behind, however it goes."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.content import Fixed, Noise
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
DATA = Noise(3 * MIB + 17)


def test_of_many_imports_at_once_one_wins(tmp_path: Path) -> None:
    """Also between processes: the lock is in the database."""
    with Origin() as origin, importing_glint(tmp_path, {"server.workers": 2}) as glint:
        origin.add("disk", DATA)
        gate = Gate()
        origin.always("disk", Fault(gate=gate))
        image_id = glint.create()
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: begin(glint, image_id, uri=origin.url("disk")).status, range(16)))
        assert sorted(answers) == [202] + [409] * 15
        assert len(tasks_of(glint, image_id)) == 1
        gate.open()
        image = settled(glint, image_id)
        assert (image["status"], image["os_hash_value"]) == ("active", DATA.digest())
        assert origin.counts("disk").gets == 1


def test_an_image_lies_in_all_stores_it_was_imported_into(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path) as glint:
        origin.add("disk", DATA)
        image_id = glint.create()
        assert begin(glint, image_id, uri=origin.url("disk"), all_stores=True).status == 202
        image = settled(glint, image_id)
        assert (image["stores"], image["size"], image[IMPORTING], image[FAILED]) == (
            "local,other",
            DATA.size_bytes,
            "",
            "",
        )
        assert glint.get(f"/v2/images/{image_id}/file").content == DATA.read()
        assert (tmp_path / "images" / image_id).read_bytes() == (tmp_path / "images2" / image_id).read_bytes()
        assert left_in(tmp_path / "staging") == []
        (task,) = tasks_of(glint, image_id)
        assert (task["status"], task["message"]) == ("success", "Copied 3 MiB")


@pytest.mark.parametrize(
    "fault", [Fault(cut_at=MIB), Fault(status=500), Fault(length_off=5), Fault(gzip=True)], ids=repr
)
def test_a_download_that_breaks_leaves_nothing_and_may_be_tried_again(tmp_path: Path, fault: Fault) -> None:
    with Origin() as origin, importing_glint(tmp_path) as glint:
        origin.add("disk", DATA)
        origin.script("disk", fault)
        image_id = glint.create()
        begin(glint, image_id, uri=origin.url("disk"), all_stores=True)
        image = settled(glint, image_id)
        assert (image["status"], image["size"], image[FAILED]) == ("queued", None, "local,other")
        assert (left_in(tmp_path / "staging"), left_in(tmp_path / "images")) == ([], [])
        (task,) = tasks_of(glint, image_id)
        assert task["status"] == "failure"
        assert task["message"] not in ("", "Task failed due to Internal Error")
        begin(glint, image_id, uri=origin.url("disk"))
        assert settled(glint, image_id)["status"] == "active"


def test_a_store_that_fails_takes_the_copies_of_the_others_along(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path) as glint:
        origin.add("disk", DATA)
        image_id = glint.create()
        (tmp_path / "images2" / image_id).write_bytes(b"in the way")
        begin(glint, image_id, uri=origin.url("disk"), stores=["local", "other"])
        image = settled(glint, image_id)
        assert (image["status"], image["checksum"], "stores" in image) == ("queued", None, False)
        assert left_in(tmp_path / "images") == []


def test_a_store_that_may_fail_leaves_the_others_their_copies(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path) as glint:
        origin.add("disk", DATA)
        image_id = glint.create()
        (tmp_path / "images" / image_id).write_bytes(b"in the way")
        begin(glint, image_id, uri=origin.url("disk"), stores=["local", "other"], all_stores_must_succeed=False)
        image = settled(glint, image_id)
        assert (image["status"], image["stores"], image[FAILED]) == ("active", "other", "local")
        assert glint.get(f"/v2/images/{image_id}/file").content == DATA.read()


def test_an_image_deleted_while_it_is_imported_leaves_nothing(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path) as glint:
        origin.add("disk", DATA)
        gate = Gate(at=MIB)
        origin.script("disk", Fault(gate=gate))
        image_id = glint.create()
        begin(glint, image_id, uri=origin.url("disk"), all_stores=True)
        gate.wait_reached()
        assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
        gate.open()
        assert glint.get(f"/v2/images/{image_id}").status == 404
        wait_until(lambda: glint.get(f"/v2/tasks?image_id={image_id}").json["tasks"][0]["status"] == "failure")
        for folder in ("images", "images2", "staging"):
            assert left_in(tmp_path / folder) == []


def test_a_copy_is_compared_with_the_digest_of_the_image(tmp_path: Path) -> None:
    with importing_glint(tmp_path) as glint:
        image_id = glint.upload(DATA.read())
        path = tmp_path / "images" / image_id
        damaged = bytearray(path.read_bytes())
        damaged[MIB] ^= 1
        path.write_bytes(damaged)
        begin(glint, image_id, "copy-image", stores=["other"])
        image = settled(glint, image_id)
        assert (image["status"], image["stores"], image[FAILED]) == ("active", "local", "other")
        assert left_in(tmp_path / "images2") == []


@pytest.mark.parametrize(("minutes", "status"), [(59, 409), (61, 202)])
def test_the_lock_of_a_silent_task_is_taken_over_after_an_hour(tmp_path: Path, minutes: int, status: int) -> None:
    with importing_glint(tmp_path) as glint:
        image_id = glint.upload(b"data")
        begin(glint, image_id, "copy-image", stores=["other"])
        settled(glint, image_id)
        glint.stop()
        _lock(tmp_path, image_id, minutes)
        glint.start()
        (tmp_path / "images2" / image_id).unlink()
        glint.request("DELETE", f"/v2/stores/other/{image_id}")
        _drop_location(tmp_path, image_id, "other")
        assert begin(glint, image_id, "copy-image", stores=["other"]).status == status
        if status == 202:
            assert settled(glint, image_id)["stores"] == "local,other"


def _lock(folder: Path, image_id: str, minutes: int) -> None:
    """Make the one task of the image a silent one that has the lock, as another host's that died."""
    with sqlite3.connect(folder / "registry.db") as database:
        (task_id,) = database.execute("SELECT id FROM tasks WHERE image_id = ?", (image_id,)).fetchone()
        database.execute(
            "UPDATE tasks SET status = 'success', updated_at = datetime('now', ?) WHERE id = ?",
            (f"-{minutes} minutes", task_id),
        )
        database.execute(
            "INSERT INTO image_properties (image_id, name, value, created_at, updated_at, deleted)"
            " VALUES (?, ?, ?, datetime('now'), datetime('now'), 0)",
            (image_id, LOCK, task_id),
        )
    database.close()


def _drop_location(folder: Path, image_id: str, store: str) -> None:
    with sqlite3.connect(folder / "registry.db") as database:
        database.execute(
            "UPDATE image_locations SET deleted = 1 WHERE image_id = ? AND meta_data LIKE ?", (image_id, f'%"{store}"%')
        )
    database.close()


@pytest.mark.parametrize(("extra", "status"), [(0, "active"), (1, "queued")])
def test_an_import_of_more_than_the_size_cap_fails(tmp_path: Path, extra: int, status: str) -> None:
    with Origin() as origin, importing_glint(tmp_path, {"api.image_size_cap": MIB}) as glint:
        origin.add("disk", Noise(MIB + extra))
        image_id = glint.create()
        begin(glint, image_id, uri=origin.url("disk"))
        assert settled(glint, image_id)["status"] == status
        assert left_in(tmp_path / "staging") == []


@pytest.mark.parametrize(("extra", "status"), [(0, 204), (1, 413)])
def test_staging_more_than_the_size_cap_is_refused(tmp_path: Path, extra: int, status: int) -> None:
    with importing_glint(tmp_path, {"api.image_size_cap": 1000}) as glint:
        image_id = glint.create()
        assert glint.request("PUT", f"/v2/images/{image_id}/stage", bytes(1000 + extra)).status == status
        assert image_of(glint, image_id)["status"] == ("uploading" if extra == 0 else "queued")
        assert left_in(tmp_path / "staging") == ([image_id] if extra == 0 else [])


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path) as glint:
        small, large = origin.add("small", Noise(8 * MIB)), origin.add("large", Noise(256 * MIB))
        for name in ("small", "large"):
            image_id = glint.create()
            begin(glint, image_id, uri=origin.url(name), all_stores=True)
            image = settled(glint, image_id, timeout_s=90)
            assert image["status"] == "active"
            if name == "small":
                before_kib = _most_memory_kib(glint)
        assert image["size"] == large.size_bytes > small.size_bytes
        assert _most_memory_kib(glint) - before_kib < 64 * 1024


def _most_memory_kib(glint: Glint) -> int:
    status = Path(f"/proc/{glint.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def test_other_requests_are_answered_while_a_large_image_is_imported(tmp_path: Path) -> None:
    """Digests and inspection run beside the loop."""
    gate = Gate(at=0)
    with Origin() as origin, importing_glint(tmp_path) as glint:
        origin.add("large", Noise(64 * MIB))
        origin.script("large", Fault(gate=gate))
        image_id = glint.create()
        begin(glint, image_id, uri=origin.url("large"))
        for mib in range(8, 64, 8):  # asked each time while it has as much to work at
            gate.open(to=mib * MIB)
            assert LOCK in image_of(glint, image_id)
        gate.open()
        assert settled(glint, image_id)["status"] == "active"


def test_staged_data_are_gone_with_their_image(tmp_path: Path) -> None:
    with importing_glint(tmp_path) as glint:
        image_id = glint.create()
        assert glint.request("PUT", f"/v2/images/{image_id}/stage", b"data").status == 204
        assert left_in(tmp_path / "staging") == [image_id]
        assert glint.request("DELETE", f"/v2/images/{image_id}").status == 204
        assert left_in(tmp_path / "staging") == []


def test_a_password_in_a_place_is_kept_out_of_records_and_logs(tmp_path: Path) -> None:
    with Origin() as origin, importing_glint(tmp_path) as glint:
        origin.add("disk", Fixed(b"data"))
        image_id = glint.create()
        begin(glint, image_id, uri=origin.url("disk", user_info="anna:geheim"))
        assert settled(glint, image_id)["status"] == "active"
        assert origin.counts("disk").requests[0].headers["authorization"].startswith("Basic ")
        records = glint.get(f"/v2/images/{image_id}/tasks").content
        assert b"web-download" in records
        assert b"geheim" not in records
        assert "geheim" not in glint.log
