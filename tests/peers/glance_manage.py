"""`glance-manage` on any database, without the time that its start takes: see `client_driver.py`."""

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.environments import ensure_environment

_DRIVER = Path(__file__).with_name("client_driver.py")


@dataclass(frozen=True, slots=True)
class Ended:
    exit_code: int
    output: str


class GlanceManage:
    """A context manager. Every command is a fork of one process that has loaded Glance."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {"PATH": os.defpath, "HOME": str(folder), "PYTHONWARNINGS": "ignore"}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [ensure_environment("glance") / "bin" / "python", "-I", "-W", "ignore", _DRIVER, "glance-manage"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            env=self._environment,
            cwd=self._folder,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        with self._process:  # closes its input, at whose end it ends
            pass

    def run(self, url: str, *arguments: str) -> Ended:
        """`glance-manage db ARGUMENTS…`."""
        config = self._folder / "glance.conf"
        config.write_text(f"[database]\nconnection = {url}\n[DEFAULT]\nuse_stderr = true\n")
        answer = self._ask(
            {
                "program": "glance-manage",
                "arguments": ["--config-file", str(config), "db", *arguments],
                "environment": self._environment,
                "stdin": "",
            }
        )
        printed = (base64.b64decode(answer[name]).decode() for name in ("stdout", "stderr"))
        return Ended(answer["exit_code"], "".join(printed))

    def done(self, url: str, *arguments: str) -> str:
        """What it printed; it ended well."""
        ended = self.run(url, *arguments)
        assert ended.exit_code == 0, ended.output
        return ended.output

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the driver of glance-manage has ended")
        return json.loads(line)
