"""What plugins make of imports between staging and stores."""

import gzip
import io
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

from tests import disk_images
from tests.parity.cases.importing import tasks_of
from tests.parity.cases.staging import image_import, stage
from tests.parity.model import Case, Persona, Step, Variant, case, create, download, show, show_when, upload

_PLUGINS: frozenset[Variant] = frozenset({"plugins"})
_CONVERSION: frozenset[Variant] = frozenset({"conversion"})
_DATA = bytes(range(256)) * 300
_COMPRESSED: dict[str, Any] = {"disk_format": "raw", "container_format": "compressed"}
_BARE: dict[str, Any] = {"disk_format": "raw", "container_format": "bare"}
_CLUSTER = 65536
_BEFORE_1980 = (1980, 1, 1, 0, 0, 0)  # the earliest that an archive can say; or else each would be another


def _zip(*names: str, data: bytes = _DATA) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, _BEFORE_1980), data)
    return out.getvalue()


def _qcow2(size_bytes: int = 1 << 20) -> bytes:
    """A whole one of version 2, whose first cluster holds data and the others none.

    Clusters: the header, the table of refcounts, a block of them, the table of level 1, one of level 2, the data.
    Source: docs/interop/qcow2.txt of QEMU.
    """
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, size_bytes, 0, 1, 3 * _CLUSTER, _CLUSTER, 1, 0, 0)
    refcounts = struct.pack(">Q", 2 * _CLUSTER)
    block = struct.pack(">6H", *[1] * 6)
    copied = 1 << 63
    tables = struct.pack(">Q", copied | 4 * _CLUSTER), struct.pack(">Q", copied | 5 * _CLUSTER)
    data = (_DATA * 2)[:_CLUSTER]
    return b"".join(part.ljust(_CLUSTER, b"\0") for part in (header, refcounts, block, *tables, data))


def _imported(data: bytes, formats: dict[str, Any], *, by: Persona = "demo", status: str = "active") -> Sequence[Step]:
    """Data that were staged, imported, and what became of them."""
    return (
        create(by=by, **formats),
        stage(data, by=by),
        image_import("glance-direct", by=by),
        show_when(by=by, status=status),
        tasks_of(),
        download(by=by),
    )


CASES: tuple[Case, ...] = (
    case(
        "inject properties",
        create(**_BARE, imported="by hand", other="kept"),
        stage(_DATA),
        image_import("glance-direct"),
        show_when(status="active"),
        tasks_of(),
        download(),
        variants=_PLUGINS,
    ),
    case("inject no properties for an ignored role", *_imported(_DATA, _BARE, by="admin"), variants=_PLUGINS),
    case("upload past the plugins", create(**_BARE), upload(gzip.compress(_DATA, mtime=0)), show(), variants=_PLUGINS),
    *(
        case(f"decompress {name}", *_imported(data, _BARE, status=status), variants=_PLUGINS)
        for name, data, status in (
            ("gzip", gzip.compress(_DATA, mtime=0), "active"),
            ("gzip of two members", gzip.compress(_DATA[:99], mtime=0) + gzip.compress(_DATA[99:], mtime=0), "active"),
            ("gzip that breaks off", gzip.compress(_DATA, mtime=0)[:-40], "queued"),
            ("gzip of nothing", gzip.compress(b"", mtime=0), "active"),
            ("zip", _zip("disk.raw"), "active"),
            ("zip of two files", _zip("one.raw", "two.raw"), "queued"),
            ("zip of no file", _zip(), "queued"),
            ("what is not compressed", _DATA, "active"),
        )
    ),
    case("gzip in a compressed container", *_imported(gzip.compress(_DATA, mtime=0), _COMPRESSED), variants=_PLUGINS),
    *(
        case(
            f"convert {name}",
            *_imported(data, {"disk_format": kind, "container_format": "bare"}, status=status),
            variants=_CONVERSION,
        )
        for name, kind, data, status in (
            ("qcow2", "qcow2", _qcow2(), "active"),
            ("raw", "raw", _DATA + bytes(-len(_DATA) % 512), "active"),
            ("raw with a GPT", "raw", disk_images.gpt(), "active"),
            ("qcow2 that is raw", "qcow2", _DATA, "queued"),
            ("raw that is qcow2", "raw", _qcow2(), "queued"),
            ("qcow2 with a backing file", "qcow2", disk_images.qcow2(backing_offset=512), "queued"),
            ("qcow2 with an external data file", "qcow2", disk_images.qcow2(features=4), "queued"),
            ("qcow2 that breaks off", "qcow2", _qcow2()[:_CLUSTER], "queued"),
            ("iso", "iso", disk_images.iso(), "active"),
            ("iso said to be raw", "raw", disk_images.iso(), "queued"),
        )
    ),
)
