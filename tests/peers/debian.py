"""Servers that come as Debian packages."""

import fcntl
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = {
    "memcached": "memcached",
    "mariadbd": "mariadb-server",
    "postgres": "postgresql",
    "nginx": "nginx",
    "varnishd": "varnish",
    "tinyproxy": "tinyproxy-bin",
    "strace": "strace",
    "qemu-img": "qemu-utils",
    "ceph-mon": "ceph-mon",
    "monmaptool": "ceph-common",
    "ceph-osd": "ceph-osd",
    "ceph": "ceph-common",
    "ceph-authtool": "ceph-common",
    "rados": "ceph-common",
    "rbd": "ceph-common",
    "radosgw": "radosgw",
    "radosgw-admin": "radosgw",
    "python3-rados": "python3-rados",
    "python3-rbd": "python3-rbd",
}
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # an ordinary user's PATH lacks sbin
DIST_PACKAGES = Path("/usr/lib/python3/dist-packages")
POLICY = Path("/usr/sbin/policy-rc.d")


class PackagesMissing(Exception):
    """Debian packages have to be installed, and only root may."""

    def __init__(self, packages: list[str]) -> None:
        super().__init__(f"install these Debian packages as root: apt-get install {' '.join(packages)}")
        self.packages = packages


def program(name: str) -> Path:
    """Path of a program of `PACKAGES`, installed first if need be. Raises PackagesMissing."""
    ensure_packages([name])
    found = _find(name)
    assert found is not None
    return Path(found)


def extension_module(name: str) -> Path | None:
    """A module that a package compiled for this version of Python."""
    return next(DIST_PACKAGES.glob(f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"), None)


def ensure_packages(programs: Iterable[str]) -> None:
    """Install the packages of those `programs` that are not there. Raises PackagesMissing."""
    missing = _missing(programs)
    if not missing:
        return
    if os.geteuid() != 0:
        raise PackagesMissing(missing)
    with open("/run/glint-peers.lock", "w") as lock:  # noqa: PTH123 - held as a plain descriptor
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = _missing(programs)
        if missing:
            with _no_daemons():
                _apt_get("update", check=False)  # an unreachable extra source does not hinder the others
                _apt_get("install", "-y", "--no-install-recommends", *missing)


def _missing(programs: Iterable[str]) -> list[str]:
    return sorted({PACKAGES[name] for name in programs if _find(name) is None})


def _find(name: str) -> str | None:
    """PostgreSQL's programs lie in a folder for each of its releases, Python's modules with those of Debian's own."""
    if name.startswith("python3-"):
        return str(module) if (module := extension_module(name.removeprefix("python3-"))) else None
    releases = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    return shutil.which(name, path=":".join([*(str(folder) for folder in reversed(releases)), SEARCH]))


def _apt_get(*arguments: str, check: bool = True) -> None:
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")


@contextmanager
def _no_daemons() -> Iterator[None]:
    """Packages start their servers when installed, unless this policy says no. The machine's own policy comes back."""
    before = POLICY.read_bytes() if POLICY.exists() else None
    mode = POLICY.stat().st_mode & 0o777 if before is not None else 0
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            POLICY.unlink(missing_ok=True)
        else:
            POLICY.write_bytes(before)
            POLICY.chmod(mode)
