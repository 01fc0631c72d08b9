"""A Glint whose cache lies on a small disk of its own, which only it and who asks for `cache_inside` can see.

The disk is mounted in a namespace of the process and goes with it, whatever becomes of the tests. A tmpfs can be had
by anybody where the machine lets users have namespaces; another file system takes root and a loop device.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.content import MIB
from tests.glint import Glint

_UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")))
_ENTER = ("nsenter", *(() if os.geteuid() == 0 else ("--user", "--preserve-credentials")))
_MOUNT = {
    "tmpfs": 'mount -t tmpfs -o "size=$1,mode=700" tmpfs "$2"',
    "ext4": 'truncate -s "$1" "$2.img" && mkfs.ext4 -q -m 0 "$2.img" && mount -o loop "$2.img" "$2" '
    '&& rmdir "$2/lost+found" && chmod 700 "$2"',
}


@cache
def can_mount(kind: str) -> bool:
    """Tried once, since no list of what it takes would be right everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "disk"
        place.mkdir()
        done = subprocess.run(
            [*_UNSHARE, "sh", "-c", _MOUNT[kind], "sh", str(4 * MIB), place],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            check=False,
        )
    return done.returncode == 0


class MountedGlint(Glint):
    """With `foreign`, the disk is full of a file of that name before Glint starts; the cache is to lie beside it."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, Any],
        *,
        kind: str,
        size_bytes: int,
        name: str = "glint",
        foreign: str = "",
    ) -> None:
        super().__init__(directory, settings, name=name)
        self._kind, self._size_bytes, self._foreign = kind, size_bytes, foreign

    @property
    def cache_inside(self) -> Path:
        """The cache's folder as the process sees it."""
        return Path(f"/proc/{self.pid}/root{self.cache_dir}")

    def give_up(self) -> None:
        """Make the disk refuse all writing, as ext4 does by itself after an error. Nothing brings it back."""
        assert self._remount("abort")

    def become_read_only(self) -> bool:
        """Whether it did: not while anybody has a file open there to write in it. `become_writable` undoes it."""
        return self._remount("ro")

    def become_writable(self) -> None:
        assert self._remount("rw")

    @contextmanager
    def hanging(self, hangs_s: float) -> Iterator[None]:
        """So long, or until this is left if that is later, nothing that would write in it returns, and no kill ends it.

        It thaws by itself, whatever becomes of the test. For ext4.
        """
        script = 'fsfreeze -f "$1" && echo && { sleep "$2"; fsfreeze -u "$1"; }'
        command = [*_ENTER, "-t", str(self.pid), "-m", "sh", "-c", script, "sh", self.cache_dir, str(hangs_s)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as freezing:
            assert freezing.stdout is not None
            assert freezing.stdout.readline(), "it cannot be frozen"
            yield
            freezing.wait()

    def _remount(self, how: str) -> bool:
        command = [*_ENTER, "-t", str(self.pid), "-m", "mount", "-o", f"remount,{how}", str(self.cache_dir)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _command(self) -> Sequence[str | Path]:
        self.cache_dir.mkdir(exist_ok=True)
        fill = f'cat /dev/zero > "$2/{self._foreign}" 2>/dev/null' if self._foreign else ":"
        script = f'({_MOUNT[self._kind]}) && {{ {fill}; shift 2 && exec "$@"; }}'
        mounted = (str(self._size_bytes), self.cache_dir, *super()._command())
        return [*_UNSHARE, "sh", "-c", script, "sh", *mounted]
