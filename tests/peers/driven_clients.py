"""`openstack` and `glance` as programs, without the time that their start takes: see `client_driver.py`."""

import base64
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.clients import ClientFailed, Clients, Finished

_DRIVER = Path(__file__).with_name("client_driver.py")


class DrivenClients:
    """A context manager. Without `stdin` a command runs as at a terminal.

    `ran` has the first words of every command that was run, with its program before them, and the same with each of
    its options: `glance image-list`, `glance image-list --tag`.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._process: subprocess.Popen[bytes] | None = None
        self._known: Mapping[str, Sequence[str]] = {}
        self.ran: set[str] = set()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [self._clients.bin_dir / "python", "-I", "-W", "ignore", _DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            env=self._clients.environment({}),
            cwd=self._clients.home,
            start_new_session=True,
        )
        self._known = self._ask({"program": "list"})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        with self._process:  # closes its input, at whose end it ends
            pass

    def commands(self) -> set[str]:
        """Every command that the installed clients register: `glance image-list`, `openstack image list`."""
        return {f"{program} {name}" for program, names in self._known.items() for name in names}

    def options(self) -> dict[str, list[list[str]]]:
        """The options of every command, each by all its names."""
        found: Mapping[str, Mapping[str, list[list[str]]]] = self._ask({"program": "options"})
        return {f"{program} {name}": options for program, of in found.items() for name, options in of.items()}

    def openstack(self, env: Mapping[str, str], *arguments: str | Path, stdin: bytes | None = None) -> Finished:
        """Raises ClientFailed."""
        return self._run(env, "openstack", [str(word) for word in arguments], stdin)

    def glance(self, env: Mapping[str, str], *arguments: str | Path, stdin: bytes | None = None) -> Finished:
        """Raises ClientFailed."""
        return self._run(env, "glance", [str(word) for word in arguments], stdin)

    def _run(self, env: Mapping[str, str], program: str, arguments: list[str], stdin: bytes | None) -> Finished:
        named = {f"{program} {name}" for name in self._known[program] if arguments[: len(name.split())] == name.split()}
        options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        self.ran |= named | {f"{name} {option}" for name in named for option in options}
        answer = self._ask(
            {
                "program": program,
                "arguments": arguments,
                "environment": self._clients.environment(env),
                "stdin": None if stdin is None else base64.b64encode(stdin).decode(),
            }
        )
        stdout, stderr = (base64.b64decode(answer[name]) for name in ("stdout", "stderr"))
        if answer["exit_code"] != 0:
            raise ClientFailed([program, *arguments], answer["exit_code"], stdout, stderr)
        return Finished(stdout=stdout, stderr=stderr.decode(errors="replace"))

    def _ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the driver of the clients has ended")
        return json.loads(line)
