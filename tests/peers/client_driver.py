"""Runs the commands `openstack` and `glance` many times in one process of the clients' environment.

Started with the word `glance-manage` it runs that program instead, in Glance's environment.

Reads one request a line from standard input, `{"program", "arguments", "environment", "stdin"}`, and writes one answer
a line, `{"exit_code", "stdout", "stderr"}`. Starting Python and loading the clients takes longer than a command: here
they are loaded once, and each command is a fork, which sees nothing of those before it. With the program `list` the
answer is what commands there are, by program; with `options` it is their options.
"""

import base64
import contextlib
import importlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

PROGRAMS = {"openstack": "openstackclient.shell", "glance": "glanceclient.shell"}
MANAGE = {"glance-manage": "glance.cmd.manage"}
_PLUGINS = "openstack.image.v2"


def main() -> None:
    """Until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    if sys.argv[1:] == list(MANAGE):
        PROGRAMS.update(MANAGE)
        importlib.import_module(PROGRAMS["glance-manage"])
    else:
        _load()
    for line in sys.stdin:
        request = json.loads(line)
        told = {"list": _commands, "options": _options}.get(request["program"])
        answer = told() if told else _run(request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _load() -> None:
    """Import what a command needs. A help text makes the clients find their plug-ins, which they remember."""
    for entry in entry_points(group=_PLUGINS):
        entry.load()
    for program, words in (("openstack", ["image", "list", "--help"]), ("glance", ["help", "image-list"])):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            sys.argv = [program, *words]
            importlib.import_module(PROGRAMS[program]).main()


def _commands() -> dict[str, list[str]]:
    shell = importlib.import_module(PROGRAMS["glance"]).OpenStackImagesShell()
    shell.get_subcommand_parser(2)
    return {
        "openstack": sorted(entry.name.replace("_", " ") for entry in entry_points(group=_PLUGINS)),
        "glance": sorted(name.replace("_", "-") for name in shell.subcommands),
    }


def _options() -> dict[str, dict[str, list[list[str]]]]:
    """Of `openstack` only those of the command itself, not those of how its output is written."""
    shell = importlib.import_module(PROGRAMS["glance"]).OpenStackImagesShell()
    shell.get_subcommand_parser(2)
    by_command = {name.replace("_", "-"): _named(parser) for name, parser in shell.subcommands.items()}
    own = {
        entry.name.replace("_", " "): _named(entry.load()(None, None).get_parser(entry.name))
        for entry in entry_points(group=_PLUGINS)
    }
    return {"glance": by_command, "openstack": own}


def _named(parser: Any) -> list[list[str]]:
    groups = [group for group in parser._action_groups if "formatter" not in group.title.lower()]
    actions = [action for group in groups for action in group._group_actions]
    return [list(action.option_strings) for action in actions if action.option_strings and action.dest != "help"]


def _run(request: dict[str, Any]) -> dict[str, Any]:
    with _input(request["stdin"]) as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        child = os.fork()
        if child == 0:
            _become(request, stdin.fileno(), stdout.fileno(), stderr.fileno())
        _, status = os.waitpid(child, 0)
        return {
            "exit_code": os.waitstatus_to_exitcode(status),
            "stdout": _content(stdout),
            "stderr": _content(stderr),
        }


@contextlib.contextmanager
def _input(data: str | None) -> Iterator[Any]:
    """A file of the data; a terminal at which nobody types if there are none, since a pipe would count as data."""
    if data is None:
        keyboard, terminal = os.openpty()
        try:
            with os.fdopen(terminal, "rb", buffering=0) as stdin:
                yield stdin
        finally:
            os.close(keyboard)
        return
    with tempfile.TemporaryFile() as stdin:
        stdin.write(base64.b64decode(data))
        stdin.seek(0)
        yield stdin


def _become(request: dict[str, Any], *files: int) -> None:
    """The command itself, as its own program starts it. Does not return."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the old one has read ahead
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["program"], *request["arguments"]]
    code: Any = 1
    try:
        code = importlib.import_module(PROGRAMS[request["program"]]).main()
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on as a second parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def _content(file: Any) -> str:
    file.seek(0)
    return base64.b64encode(file.read()).decode()


if __name__ == "__main__":
    main()
