"""Ceph's Python modules, which come with the distribution only, made importable in a virtual environment."""

import sysconfig
from contextlib import suppress
from pathlib import Path

from tests.peers.debian import PackagesMissing, ensure_packages, extension_module

MODULES = ("rados", "rbd")


def link_bindings(site: Path | None = None) -> None:
    """Link just these modules into `site`, by default that of the environment this runs in.

    To admit all of the distribution's packages instead would let them shadow what the environment pins.
    Raises PackagesMissing, also where the distribution has them for another version of Python.
    """
    packages = [f"python3-{name}" for name in MODULES]
    ensure_packages(packages)
    site = site or Path(sysconfig.get_path("platlib"))
    for name in MODULES:
        module = extension_module(name)
        if module is None:
            raise PackagesMissing(packages)
        link = site / module.name
        if not link.exists():
            link.unlink(missing_ok=True)
            with suppress(FileExistsError):  # by another process of the same run
                link.symlink_to(module)
