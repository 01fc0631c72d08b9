"""Python environments of the peers, one each, from the lock files in `requirements/`."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements")
NAMES = tuple(sorted(lock.stem for lock in REQUIREMENTS.glob("*.txt")))
STAMP = "complete"


class InstallFailed(Exception):
    """An environment could not be made. Carries the end of what was printed."""

    def __init__(self, name: str, output: str) -> None:
        super().__init__(f"the environment {name} could not be made:\n{output[-4000:]}")
        self.name = name


def peers_dir() -> Path:
    """Where the environments lie, shared by all clones of the project: GLINT_PEERS, else the user's cache."""
    if chosen := os.environ.get("GLINT_PEERS"):
        return Path(chosen).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "glint" / "peers"


def ensure_environment(name: str) -> Path:
    """The environment `name`, made first if need be. Raises InstallFailed; the next call then begins anew.

    The directory is named after its lock file's contents, so that clones with different locks do not take turns in
    rebuilding one directory, maybe while the other's servers run from it. Concurrent calls wait for each other.
    """
    lock_file = REQUIREMENTS / f"{name}.txt"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(python.encode() + lock_file.read_bytes()).hexdigest()
    home = peers_dir() / f"{name}-{digest[:12]}"
    if (home / STAMP).exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / STAMP).exists():
            _make(name, home, lock_file)
    return home


def _make(name: str, home: Path, lock_file: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)  # half made, by an install that was cut off
    _run(name, sys.executable, "-m", "venv", home)
    # The lock is complete: there is nothing to resolve. Modules are compiled when first imported: most never are.
    _run(name, home / "bin" / "pip", "install", "--quiet", "--no-deps", "--no-compile", "--requirement", lock_file)
    (home / STAMP).touch()


def _run(name: str, *command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallFailed(name, done.stdout + done.stderr)
