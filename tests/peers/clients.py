"""The real clients, run as an operator runs them: as programs, in an environment of their own."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.environments import ensure_environment

TIMEOUT_S = 200.0


class ClientFailed(Exception):
    """A client ended with an error. Its message is what the client printed."""

    def __init__(self, command: list[str], exit_code: int | None, stdout: bytes, stderr: bytes) -> None:
        outcome = "did not end in time" if exit_code is None else f"ended with {exit_code}"
        printed = (stdout[-1000:] + stderr[-4000:]).decode(errors="replace")
        super().__init__(f"{' '.join(command)} {outcome}:\n{printed}")
        self.exit_code, self.stdout, self.stderr = exit_code, stdout, stderr.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a client printed; it ended well."""

    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """`openstack`, `glance` and the SDKs, run with the variables of `env` (as of `Keystone.openrc`) and no others.

    `run_*` block; the others are coroutines. All raise ClientFailed, also for a client killed after `timeout_s`.
    """

    bin_dir: Path
    home: Path
    timeout_s: float = TIMEOUT_S

    @classmethod
    def installed(cls, home: Path) -> "Clients":
        """The clients, installed first if need be; `home` is a directory without configuration files."""
        return cls(bin_dir=ensure_environment("clients") / "bin", home=home)

    def run_openstack(self, env: Mapping[str, str], *arguments: str | Path, stdin: bytes = b"") -> Finished:
        return self._run(env, ["openstack", *map(str, arguments)], stdin)

    def run_glance(self, env: Mapping[str, str], *arguments: str | Path, stdin: bytes = b"") -> Finished:
        return self._run(env, ["glance", *map(str, arguments)], stdin)

    def run_python(self, env: Mapping[str, str], script: str, *arguments: str | Path, stdin: bytes = b"") -> Finished:
        """Run `script` where openstacksdk and glanceclient can be imported."""
        return self._run(env, ["python", "-c", script, *map(str, arguments)], stdin)

    async def openstack(self, env: Mapping[str, str], *arguments: str | Path, stdin: bytes = b"") -> Finished:
        return await self._start(env, ["openstack", *map(str, arguments)], stdin)

    async def glance(self, env: Mapping[str, str], *arguments: str | Path, stdin: bytes = b"") -> Finished:
        return await self._start(env, ["glance", *map(str, arguments)], stdin)

    async def python(self, env: Mapping[str, str], script: str, *arguments: str | Path, stdin: bytes = b"") -> Finished:
        """Run `script` where openstacksdk and glanceclient can be imported."""
        return await self._start(env, ["python", "-c", script, *map(str, arguments)], stdin)

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        path = f"{self.bin_dir}:/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.home), "LC_ALL": "C.UTF-8", "COLUMNS": "200", **env}

    def _run(self, env: Mapping[str, str], command: list[str], stdin: bytes) -> Finished:
        with subprocess.Popen(
            [self.bin_dir / command[0], *command[1:]],
            env=self.environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that what it starts can be killed with it
        ) as process:
            try:
                stdout, stderr = process.communicate(stdin, self.timeout_s)
            except subprocess.TimeoutExpired as error:
                _kill_group(process.pid)
                stdout, stderr = process.communicate()
                raise ClientFailed(command, None, stdout, stderr) from error
            except BaseException:
                _kill_group(process.pid)
                raise
        return _finished(command, process.returncode, stdout, stderr)

    async def _start(self, env: Mapping[str, str], command: list[str], stdin: bytes) -> Finished:
        process = await asyncio.create_subprocess_exec(
            self.bin_dir / command[0],
            *command[1:],
            env=self.environment(env),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # so that what it starts can be killed with it
        )
        try:
            async with asyncio.timeout(self.timeout_s):
                stdout, stderr = await process.communicate(stdin)
        except TimeoutError as error:
            _kill_group(process.pid)
            stdout, stderr = await process.communicate()
            raise ClientFailed(command, None, stdout, stderr) from error
        except BaseException:
            _kill_group(process.pid)
            await process.wait()
            raise
        assert process.returncode is not None
        return _finished(command, process.returncode, stdout, stderr)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _finished(command: list[str], exit_code: int, stdout: bytes, stderr: bytes) -> Finished:
    if exit_code != 0:
        raise ClientFailed(command, exit_code, stdout, stderr)
    return Finished(stdout=stdout, stderr=stderr.decode(errors="replace"))
