"""Directories that are made once on a machine and then copied: what takes a server longer to make than to start on."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.peers.environments import STAMP, peers_dir


def ensure_template(name: str, made_of: bytes, make: Callable[[Path], None]) -> Path:
    """The directory `name`, filled by `make` if there is none yet of what it is `made_of`: versions, and sources.

    Concurrent calls wait for each other. One that was begun and not ended is made anew.
    """
    home = peers_dir() / f"{name}-{hashlib.sha256(made_of).hexdigest()[:12]}"
    if (home / STAMP).exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / STAMP).exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            make(home)
            os.sync()  # the servers of the tests sync nothing themselves
            (home / STAMP).touch()
    return home


def copy(source: Path, target: Path) -> None:
    """All of a directory, with owners; `target` is not there yet."""
    command: list[str | Path] = ["cp", "-a", "--reflink=auto", "--sparse=auto", source, target]
    subprocess.run(command, check=True, capture_output=True, timeout=200)


def sources(*modules: str) -> bytes:
    """What the modules beside this one say."""
    return b"".join(Path(module).read_bytes() for module in modules)
