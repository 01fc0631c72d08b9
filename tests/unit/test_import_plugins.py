"""Archives by their first bytes, how little memory they take, and what a configuration of plugins may say."""

import gzip
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.api.config import ApiConfig
from proxy.imports.plugins import PLUGINS, ProgramMissing, check_programs
from proxy.imports.plugins.archives import HEAD_BYTES, PIECE_BYTES, Unpacking, kind_of
from proxy.tasks import TaskFailed

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x1f\x8b\x08\0\0", "gzip"),
        (b"\x1f\x8b\x07\0\0", None),
        (b"PK\x03\x04\0", "zip"),
        (b"PK\x05\x06\0", None),
        (b"\0\0-lh", "lha"),
        (b"-lh-l", None),
        (b"", None),
    ],
)
def test_an_archive_is_known_by_its_first_bytes(head: bytes, kind: str | None) -> None:
    assert len(head) <= HEAD_BYTES
    assert kind_of(head) == kind


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_a_bomb_takes_little_memory_and_writes_no_more_than_is_allowed(tmp_path: Path, kind: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    target.touch()
    if kind == "gzip":
        source.write_bytes(gzip.compress(bytes(256 * MIB), 1))
    else:
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("bomb", bytes(256 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(TaskFailed, match="allowed"):
            _unpack(kind, source, target)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert target.stat().st_size <= 16 * MIB
    assert peak_bytes < 8 * PIECE_BYTES


def _unpack(kind: str, source: Path, target: Path) -> None:
    with Unpacking(kind, source, target, 16 * MIB) as unpacking:
        unpacking.open()
        while unpacking.step():
            pass


def test_every_plugin_that_may_be_configured_is_there() -> None:
    assert ApiConfig(import_plugins=tuple(PLUGINS)).import_plugins == tuple(PLUGINS)


@pytest.mark.parametrize(
    "section",
    [
        {"import_plugins": ["inject_metadata"]},
        {"conversion": {"output_format": "vdi"}},
        {"inject_metadata": {"inject": {"os_glance_mine": "x"}}},
        {"inject_metadata": {"inject": {"min_disk": "1"}}},
        {"inject_metadata": {"inject": {"": "1"}}},
        {"inject_metadata": {"inject": {"x" * 256: "1"}}},
        {"inject_metadata": {"inject": {"x": 1}}},
    ],
)
def test_what_no_plugin_could_do_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApiConfig.model_validate(section)


def test_a_missing_program_is_told_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check_programs(["image_decompression", "inject_image_metadata"])
    with pytest.raises(ProgramMissing, match=r"needs prlimit, qemu-img, setpriv; install Debian's qemu-utils util-lin"):
        check_programs(["image_conversion"])
