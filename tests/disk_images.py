"""Disk images made by hand, good ones and such as are not safe to hand out. Pure."""

import struct


def qcow2(*, version: int = 3, backing_offset: int = 0, features: int = 0, size_bytes: int = 1 << 30) -> bytes:
    """A qcow2 header. Feature bit 2 names an external data file; bits from 4 on are not known."""
    header = struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing_offset, 0, 16, size_bytes)
    header = header.ljust(72, b"\0") + struct.pack(">Q", features)
    return header.ljust(1024, b"\0")


def vmdk(kind: str = "monolithicSparse", *, extent: str = 'RW 2048 SPARSE "disk.vmdk"', more: str = "") -> bytes:
    """A hosted sparse extent of 1 MiB with a descriptor that says `kind`."""
    text = f'# Disk DescriptorFile\nversion=1\ncreateType="{kind}"\n{extent}\n{more}ddb.adapterType = "ide"\n'
    descriptor = text.encode().ljust(20 * 512, b"\0")
    header = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 3, 2048, 128, 1, 20, 512, 0, 21)
    return (header.ljust(512, b"\0") + descriptor).ljust(65536, b"\0")


def mbr(*partitions: tuple[int, int, int], signature: int = 0xAA55) -> bytes:
    """A boot record. Each partition is boot flag, type and first sector; type 0xEE stands for a GPT behind it."""
    entries = b"".join(struct.pack("<B3BB3BII", boot, 0, 2, 0, kind, 0, 0, 0, lba, 8) for boot, kind, lba in partitions)
    return (bytes(446) + entries.ljust(64, b"\0") + struct.pack("<H", signature)).ljust(4096, b"\0")


def gpt(*others: tuple[int, int, int]) -> bytes:
    return mbr((0, 0xEE, 1), *others)


def iso(*, in_front: bytes = b"") -> bytes:
    """A volume descriptor of 16 blocks of 2 KiB, behind 32 KiB of which `in_front` are the first."""
    descriptor = bytearray(2048)
    descriptor[:6] = b"\x01CD001"
    descriptor[80:84] = struct.pack("<L", 16)
    descriptor[128:130] = struct.pack("<H", 2048)
    return in_front[:32768].ljust(32768, b"\0") + bytes(descriptor)


def vdi(size_bytes: int = 1 << 20) -> bytes:
    header = bytearray(1024)
    header[0x40:0x44] = struct.pack("<I", 0xBEDA107F)
    header[0x170:0x178] = struct.pack("<Q", size_bytes)
    return bytes(header)


def vhd(size_bytes: int = 1 << 20) -> bytes:
    header = bytearray(1024)
    header[:8] = b"conectix"
    header[40:48] = struct.pack(">Q", size_bytes)
    return bytes(header)


def qed() -> bytes:
    return b"QED\0".ljust(1024, b"\0")


def luks(version: int = 1) -> bytes:
    return struct.pack(">6sH", b"LUKS\xba\xbe", version).ljust(4096, b"\0")
