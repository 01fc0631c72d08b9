"""Uploads and imports of disk images: which are what they say, and which are not safe to hand out."""

from tests import disk_images as made
from tests.parity.cases.staging import image_import, stage
from tests.parity.model import Case, case, create, show, show_when, upload

_GOOD: dict[str, tuple[str, bytes]] = {
    "qcow2 version 3": ("qcow2", made.qcow2()),
    "qcow2 version 2": ("qcow2", made.qcow2(version=2)),
    "vmdk monolithicSparse": ("vmdk", made.vmdk()),
    "vmdk streamOptimized": ("vmdk", made.vmdk("streamOptimized")),
    "vdi": ("vdi", made.vdi()),
    "vhd": ("vhd", made.vhd()),
    "iso": ("iso", made.iso()),
    "iso behind a GPT": ("iso", made.iso(in_front=made.gpt())),
    "GPT as raw": ("raw", made.gpt()),
    "boot record as raw": ("raw", made.mbr((0x80, 0x83, 2048))),
    "LUKS as raw": ("raw", made.luks()),
    "ploop that nobody knows": ("ploop", bytes(2048)),
}
_BAD: dict[str, tuple[str, bytes]] = {
    "qcow2 with a backing file": ("qcow2", made.qcow2(backing_offset=512)),
    "qcow2 with a data file": ("qcow2", made.qcow2(features=4)),
    "qcow2 with unknown features": ("qcow2", made.qcow2(features=1 << 20)),
    "qcow2 version 1": ("qcow2", made.qcow2(version=1)),
    "qcow2 with a backing file as raw": ("raw", made.qcow2(backing_offset=512)),
    "vmdk monolithicFlat": ("vmdk", made.vmdk("monolithicFlat")),
    "vmdk with a path as extent": ("vmdk", made.vmdk(extent='RW 2048 FLAT "/etc/passwd" 0')),
    "vmdk without extents": ("vmdk", made.vmdk(extent="")),
    "vmdk with odd lines": ("vmdk", made.vmdk(more="what is this\n")),
    "vmdk with a path as raw": ("raw", made.vmdk(extent='RW 2048 FLAT "/etc/passwd" 0')),
    "vmdk as iso": ("iso", made.vmdk()),
    "iso as qcow2": ("qcow2", made.iso()),
    "qed as raw": ("raw", made.qed()),
    "LUKS version 2 as raw": ("raw", made.luks(2)),
    "GPT with more partitions": ("raw", made.gpt((0, 0x83, 10))),
    "boot record without partitions": ("raw", made.mbr()),
    "boot record with a bad flag": ("raw", made.mbr((1, 0x83, 2048))),
    "kernel that looks like a boot record": ("aki", made.mbr((1, 2, 3))),
    "qcow2 as ami": ("ami", made.qcow2()),
}


CASES: tuple[Case, ...] = (
    *(
        case(f"good format: {name}", create(disk_format=kind, container_format="bare"), upload(data), show())
        for name, (kind, data) in _GOOD.items()
    ),
    *(
        case(f"bad format: {name}", create(disk_format=kind, container_format="bare"), upload(data), show())
        for name, (kind, data) in _BAD.items()
    ),
    *(
        case(
            f"import of a good format: {name}",
            create(disk_format=_GOOD[name][0], container_format="bare"),
            stage(_GOOD[name][1]),
            image_import("glance-direct"),
            show_when(status="active"),
        )
        for name in ("qcow2 version 3", "vmdk monolithicSparse", "GPT as raw")
    ),
    *(
        case(
            f"import of a bad format: {name}",
            create(disk_format=_BAD[name][0], container_format="bare"),
            stage(_BAD[name][1]),
            image_import("glance-direct"),
            show_when(os_glance_failed_import="file"),
        )
        for name in ("qcow2 with a backing file", "vmdk monolithicFlat", "GPT with more partitions", "iso as qcow2")
    ),
)
