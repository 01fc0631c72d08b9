from tests.disk.mounts import can_mount


def pytest_report_header() -> str:
    """Which disks the tests of this machine fail on: the made-up one everywhere, real ones where they can be had."""
    real = [kind for kind in ("tmpfs", "ext4") if can_mount(kind)]
    return f"disks that fail: by tests/disk/shim.py, and really: {', '.join(real) or 'none, as mounting is refused'}"
