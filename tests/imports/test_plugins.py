"""What plugins make of an import: data and image afterwards, and what is left where they fail."""

import gzip
import io
import json
import os
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import disk_images
from tests.content import Noise
from tests.glint import Glint
from tests.imports.importing import (
    FAILED,
    begin,
    image_of,
    importing_glint,
    left_in,
    settled,
    tasks_of,
    wait_until,
)
from tests.origin import Origin
from tests.peers import debian

MIB = 1024 * 1024
DATA = Noise(3 * MIB + 17).read()
DECOMPRESSING: Mapping[str, Any] = {"api.import_plugins": ["image_decompression"], "api.image_size_cap": "8 MiB"}
CONVERTING: Mapping[str, Any] = {"api.import_plugins": ["image_conversion"], "api.image_size_cap": "64 MiB"}


@pytest.fixture(scope="module", autouse=True)
def qemu_img() -> Path:
    return debian.program("qemu-img")


def zipped(*names: str, data: bytes = DATA, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with closing(zipfile.ZipFile(out, "w", method)) as archive:
        for name in names:
            archive.writestr(name, data)
    return out.getvalue()


@pytest.fixture(scope="module")
def decompressing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glint]:
    with importing_glint(tmp_path_factory.mktemp("decompressing"), DECOMPRESSING) as glint:
        yield glint


@pytest.fixture(scope="module")
def converting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glint]:
    with importing_glint(tmp_path_factory.mktemp("converting"), CONVERTING) as glint:
        yield glint


def imported(glint: Glint, data: bytes, **fields: Any) -> Any:
    image_id = glint.create(**fields)
    assert glint.request("PUT", f"/v2/images/{image_id}/stage", data).status == 204
    assert begin(glint, image_id, "glance-direct").status == 202
    return settled(glint, image_id)


def failure_of(glint: Glint, image: Mapping[str, Any]) -> str:
    """Why its one import failed, if it left what a failure should."""
    assert (image["status"], image[FAILED], image["size"], image["checksum"]) == ("queued", "local", None, None)
    assert (left_in(glint.directory / "staging"), stored(glint, image).exists()) == ([], False)
    (task,) = tasks_of(glint, image["id"])
    assert task["status"] == "failure"
    return str(task["message"])


def stored(glint: Glint, image: Mapping[str, Any]) -> Path:
    return glint.directory / "images" / str(image["id"])


def test_each_image_gets_the_properties_that_are_injected(tmp_path: Path) -> None:
    settings = {
        "api.import_plugins": ["no_op", "inject_image_metadata"],
        "api.inject_metadata": {"ignore_user_roles": ["nobody"], "inject": {"imported": "yes", "mine": "no longer"}},
    }
    with Origin() as origin, importing_glint(tmp_path, settings) as glint:
        origin.add("disk", Noise(MIB))
        image_id = glint.create(mine="mine", other="other")
        begin(glint, image_id, uri=origin.url("disk"))
        image = settled(glint, image_id)
        assert (image["status"], image["imported"], image["mine"], image["other"]) == (
            "active",
            "yes",
            "no longer",
            "other",
        )


def test_those_of_an_ignored_role_get_none(tmp_path: Path) -> None:
    settings = {"api.import_plugins": ["inject_image_metadata"], "api.inject_metadata": {"inject": {"imported": "yes"}}}
    with importing_glint(tmp_path, settings) as glint:  # without Keystone everybody is admin
        image = imported(glint, b"data")
        assert (image["status"], "imported" in image) == ("active", False)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: gzip.compress(DATA), id="gzip"),
        pytest.param(lambda: gzip.compress(DATA[:MIB]) + gzip.compress(DATA[MIB:]), id="gzip of two members"),
        pytest.param(lambda: zipped("disk.raw"), id="zip"),
        pytest.param(
            lambda: zipped("../../disk.raw", method=zipfile.ZIP_STORED), id="zip, stored, of a name that points away"
        ),
    ],
)
def test_an_archive_is_stored_as_what_is_in_it(decompressing: Glint, data: Callable[[], bytes]) -> None:
    image = imported(decompressing, data())
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(DATA), len(DATA))
    assert decompressing.get(f"/v2/images/{image['id']}/file").content == DATA
    assert left_in(decompressing.directory / "staging") == []


@pytest.mark.parametrize(
    ("data", "container"), [(gzip.compress(DATA[:MIB]), "compressed"), (DATA, "bare"), (b"", "bare"), (b"\x1f", "bare")]
)
def test_what_is_no_archive_or_meant_to_stay_one_is_stored_as_it_is(
    decompressing: Glint, data: bytes, container: str
) -> None:
    image = imported(decompressing, data, container_format=container)
    assert (image["status"], image["container_format"]) == ("active", container)
    assert stored(decompressing, image).read_bytes() == data


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(lambda: gzip.compress(DATA)[:-MIB], "broken gzip", id="gzip, cut"),
        pytest.param(lambda: _flipped(gzip.compress(DATA), -5), "broken gzip", id="gzip of another sum"),
        pytest.param(lambda: gzip.compress(DATA) + b"more", "broken gzip", id="gzip and more"),
        pytest.param(lambda: gzip.compress(bytes(8 * MIB + 1)), "allowed", id="gzip bomb"),
        pytest.param(lambda: zipped("bomb", data=bytes(8 * MIB + 1)), "allowed", id="zip bomb"),
        pytest.param(lambda: zipped("disk.raw")[:-10], "broken zip", id="zip, cut"),
        pytest.param(lambda: _flipped(zipped("disk.raw"), MIB), "broken zip", id="zip, damaged"),
        pytest.param(lambda: zipped("a", "b", data=b"x"), "2 entries", id="zip of two"),
        pytest.param(lambda: zipped("a/", data=b""), "one file", id="zip of a folder"),
        pytest.param(lambda: zipped("a", method=zipfile.ZIP_LZMA), "not supported", id="zip, not deflated"),
        pytest.param(
            lambda: zipped(*(f"{n:060}" for n in range(12000)), data=b""), "too long", id="zip with a long list"
        ),
        pytest.param(lambda: b"\x20\x00-lh5-" + bytes(64), "LHA", id="lha"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_cannot_be_unpacked_fails_the_import(
    decompressing: Glint, data: Callable[[], bytes], reason: str
) -> None:
    assert reason in failure_of(decompressing, imported(decompressing, data()))


def test_what_holds_just_what_is_allowed_is_unpacked(decompressing: Glint) -> None:
    image = imported(decompressing, gzip.compress(bytes(8 * MIB)))
    assert (image["status"], image["size"]) == ("active", 8 * MIB)


def test_an_archive_may_not_hold_more_than_the_project_may_store(tmp_path: Path) -> None:
    with importing_glint(tmp_path, {**DECOMPRESSING, "api.user_storage_quota": "2MB"}) as glint:
        assert "allowed" in failure_of(glint, imported(glint, gzip.compress(bytes(3 * MIB))))


def made(folder: Path, kind: str, *options: str, data: bytes = DATA) -> bytes:
    """A disk in this format, by qemu-img."""
    raw, disk = folder / "made.raw", folder / f"made.{kind}"
    raw.write_bytes(data.ljust(-(-len(data) // 512) * 512, b"\0"))
    if kind == "raw":
        return raw.read_bytes()
    qemu("convert", "-f", "raw", "-O", "vpc" if kind == "vhd" else kind, *options, str(raw), str(disk))
    return disk.read_bytes()


def qemu(*arguments: str) -> str:
    return subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("source", "options", "target"),
    [
        ("qcow2", (), "raw"),
        ("qcow2", ("-c",), "raw"),
        ("vmdk", (), "raw"),
        ("vdi", (), "raw"),
        ("vhdx", (), "raw"),
        ("vhd", (), "raw"),
        ("raw", (), "qcow2"),
        ("raw", (), "vmdk"),
        ("vmdk", ("-o", "subformat=streamOptimized"), "qcow2"),
    ],
)
def test_a_disk_is_stored_in_the_format_that_is_wanted(
    tmp_path: Path, source: str, options: tuple[str, ...], target: str
) -> None:
    data = made(tmp_path, source, *options)
    with importing_glint(tmp_path, {**CONVERTING, "api.conversion.output_format": target}) as glint:
        image = imported(glint, data, disk_format=source)
        assert (image["status"], image["disk_format"], image["container_format"]) == ("active", target, "bare")
        disk = stored(glint, image)
        assert image["size"] == disk.stat().st_size
        assert (
            image["virtual_size"] == json.loads(qemu("info", "-f", target, "--output=json", str(disk)))["virtual-size"]
        )
        back = tmp_path / "back.raw"
        qemu("convert", "-f", target, "-O", "raw", str(disk), str(back))
        assert back.read_bytes()[: len(DATA)] == DATA
        assert left_in(tmp_path / "staging") == []


@pytest.mark.parametrize(("kind", "data"), [("raw", DATA), ("iso", disk_images.iso() + bytes(65536))])
def test_what_is_right_already_is_not_converted(converting: Glint, kind: str, data: bytes) -> None:
    image = imported(converting, data, disk_format=kind)
    assert (image["status"], image["disk_format"]) == ("active", kind)
    assert stored(converting, image).read_bytes() == data


def _backed(folder: Path) -> bytes:
    secret, disk = folder / "secret", folder / "backed.qcow2"
    secret.write_bytes(b"secret".ljust(MIB, b"\0"))
    qemu("create", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(disk))
    return disk.read_bytes()


def _with_data_file(folder: Path) -> bytes:
    disk = folder / "outside.qcow2"
    qemu("create", "-f", "qcow2", "-o", f"data_file={folder / 'outside.raw'}", str(disk), "1M")
    return disk.read_bytes()


def _sized(size: str) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        qemu("create", "-f", "qcow2", str(folder / "large.qcow2"), size)
        return (folder / "large.qcow2").read_bytes()

    return make


@pytest.mark.parametrize(
    ("make", "claimed", "reason"),
    [
        pytest.param(_backed, "qcow2", "safety checks: backing_file", id="backing file"),
        pytest.param(_with_data_file, "qcow2", "safety checks: data_file", id="data file"),
        pytest.param(lambda _: DATA, "qcow2", "it is said to be qcow2, and is raw", id="raw said to be qcow2"),
        pytest.param(lambda folder: made(folder, "qcow2"), "raw", "and is qcow2", id="qcow2 said to be raw"),
        pytest.param(lambda folder: made(folder, "vdi"), "vmdk", "and is vdi", id="vdi said to be vmdk"),
        pytest.param(lambda _: disk_images.iso(), "raw", "disallowed", id="iso said to be raw"),
        pytest.param(
            lambda folder: made(folder, "qcow2", data=made(folder, "qcow2")), "qcow2", "unexpected", id="disk in a disk"
        ),
        pytest.param(_sized("65M"), "qcow2", "allowed", id="too large a disk"),
        pytest.param(_sized("1P"), "qcow2", "allowed", id="a disk like a bomb"),
        pytest.param(lambda _: disk_images.qcow2(), "qcow2", "qemu-img could not", id="only a header"),
    ],
)
def test_a_disk_that_is_not_safe_to_convert_fails_the_import(
    converting: Glint, tmp_path: Path, make: Callable[[Path], bytes], claimed: str, reason: str
) -> None:
    image = imported(converting, make(tmp_path), disk_format=claimed)
    message = failure_of(converting, image)
    assert reason in message
    assert "/" not in message
    assert image["disk_format"] == claimed


def test_plugins_work_one_after_the_other(tmp_path: Path) -> None:
    settings = {**CONVERTING, "api.import_plugins": ["image_decompression", "image_conversion"]}
    with importing_glint(tmp_path, settings) as glint:
        image = imported(glint, gzip.compress(made(tmp_path, "qcow2")), disk_format="qcow2")
        assert (image["status"], image["disk_format"]) == ("active", "raw")
        assert (tmp_path / "images" / image["id"]).read_bytes()[: len(DATA)] == DATA


def test_a_copy_is_not_worked_at(tmp_path: Path) -> None:
    settings = {**DECOMPRESSING, "api.import_plugins": ["inject_image_metadata", "image_decompression"]}
    settings["api.inject_metadata"] = {"ignore_user_roles": [], "inject": {"imported": "yes"}}
    data = gzip.compress(DATA)
    with importing_glint(tmp_path, settings) as glint:
        image_id = glint.upload(data)
        begin(glint, image_id, "copy-image", stores=["other"])
        image = settled(glint, image_id)
        assert (image["stores"], "imported" in image) == ("local,other", False)
        assert (tmp_path / "images2" / image_id).read_bytes() == data


def test_an_image_that_no_store_took_is_as_it_was(tmp_path: Path) -> None:
    data = made(tmp_path, "qcow2")
    with importing_glint(tmp_path, CONVERTING) as glint:
        image_id = glint.create(disk_format="qcow2")
        (tmp_path / "images" / image_id).write_bytes(b"in the way")
        for status in ("queued", "active"):
            glint.request("PUT", f"/v2/images/{image_id}/stage", data)
            begin(glint, image_id, "glance-direct")
            image = settled(glint, image_id)
            assert (image["status"], image["disk_format"]) == (status, "qcow2" if status == "queued" else "raw")
            if status == "queued":
                (tmp_path / "images" / image_id).unlink(missing_ok=True)


def test_a_kill_ends_qemu_img_too_and_the_next_start_cleans(tmp_path: Path) -> None:
    data = made(tmp_path, "qcow2")
    with importing_glint(tmp_path, CONVERTING) as glint:
        _with_slow_program(glint)
        image_id = glint.create(disk_format="qcow2")
        glint.request("PUT", f"/v2/images/{image_id}/stage", data)
        begin(glint, image_id, "glance-direct")
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        pid = int((tmp_path / "pid").read_text())
        glint.kill()
        wait_until(lambda: not _runs(pid))
        assert len(left_in(tmp_path / "staging")) == 2
        glint.start()
        assert settled(glint, image_id)["status"] == "queued"
        wait_until(lambda: left_in(tmp_path / "staging") == [])
        assert image_of(glint, image_id)["disk_format"] == "qcow2"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _with_slow_program(glint: Glint) -> None:
    """Start it anew with a qemu-img that writes its id and half a disk, and then waits."""
    programs = glint.directory / "bin"
    programs.mkdir()
    program = programs / "qemu-img"
    program.write_text(
        '#!/bin/sh\n[ "$1" = info ] && { echo \'{"format": "qcow2", "virtual-size": 512}\'; exit; }\n'
        f'for last; do :; done; echo half > "$last"; echo $$ > {glint.directory}/pid; exec sleep 600\n'
    )
    program.chmod(0o755)
    glint.stop()
    glint.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    glint.start()


def test_a_stop_ends_qemu_img_too(tmp_path: Path) -> None:
    with importing_glint(tmp_path, {**CONVERTING, "server.drain_s": 1}) as glint:
        _with_slow_program(glint)
        image_id = glint.create(disk_format="qcow2")
        glint.request("PUT", f"/v2/images/{image_id}/stage", made(tmp_path, "qcow2"))
        begin(glint, image_id, "glance-direct")
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        began_s = time.monotonic()
        glint.stop()
        assert time.monotonic() - began_s < 50  # a SIGKILL comes after sixty
        wait_until(lambda: not _runs(int((tmp_path / "pid").read_text())))
        assert left_in(tmp_path / "staging") == []
