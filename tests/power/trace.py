"""What strace says, made into calls. A call that changes files and is not understood raises NotUnderstood."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.power.calls import Call, Chmod, Mark, Mkdir, Open, Remove, Rename, Sync, Truncate, Write

UMASK = 0o022
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_IOVEC = re.compile(r'iov_base="([^"]*)"')
_RESULT = re.compile(r"(.*)\) += (-?\w+|\?)(?: .*)?", re.DOTALL)


class NotUnderstood(Exception):
    """The program did something to the folder that the recorder cannot follow."""


def parse(lines: Iterable[str], folder: str, marks: str, working: str) -> Iterator[Call]:
    """The calls below `folder` in a trace. `working` is the working folder of the traced program."""
    yield from _Parser(folder, marks, working).calls(lines)


@dataclass(slots=True)
class _Process:
    """The descriptors of one process; its threads share them. Those outside of the folder are not here."""

    handles: dict[int, int] = field(default_factory=dict)
    folders: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A call that has begun: its arguments, and what they meant then."""

    thread: int
    name: str
    text: str
    at: int
    handle: int | None


class _Parser:
    def __init__(self, folder: str, marks: str, working: str) -> None:
        self._folder, self._marks, self._working = folder, marks, working
        self._processes: dict[int, _Process] = {}
        self._begun: dict[int, _Begun] = {}
        self._numbers = itertools.count(1)
        self._paths: dict[int, str] = {}
        self._marking: set[int] = set()
        self._readable: set[int] = set()
        self._done = 0

    def calls(self, lines: Iterable[str]) -> Iterator[Call]:
        for line in lines:
            matched = _LINE.match(line.rstrip("\n"))
            if matched is None:
                continue  # a signal or an end
            thread, resumed, name, rest = int(matched[1]), matched[2], matched[3], matched[4]
            process = self._process(thread)
            if resumed is None:
                begun = self._begin(thread, process, name, rest)
                if rest.endswith(_UNFINISHED):
                    self._begun[thread] = begun
                    continue
                text = rest
            else:
                begun = self._begun.pop(thread)
                text = begun.text.removesuffix(_UNFINISHED) + rest
            ended = _RESULT.fullmatch(text)
            if ended is None or ended[2] in ("-1", "?"):
                continue
            for call in self._finish(process, begun, ended[1], int(ended[2], 0)):
                self._done += 1
                yield call

    def _process(self, thread: int) -> _Process:
        """A thread may be seen before the call that made it has returned."""
        if thread not in self._processes:
            makers = [maker for maker, begun in self._begun.items() if begun.name in _MAKERS]
            if len(makers) > 1:
                raise NotUnderstood("two threads make threads at once: whose is the new one?")
            self._processes[thread] = self._made(makers[0], self._begun[makers[0]].text) if makers else _Process()
        return self._processes[thread]

    def _made(self, maker: int, text: str) -> _Process:
        process = self._processes[maker]
        return process if "CLONE_THREAD" in text else _Process(dict(process.handles), dict(process.folders))

    def _begin(self, thread: int, process: _Process, name: str, rest: str) -> _Begun:
        """Descriptors mean what they mean when a call begins: another thread may close and open meanwhile."""
        first = rest.partition(",")[0].partition(")")[0].removesuffix(_UNFINISHED)
        handle = process.handles.get(int(first)) if first.isdecimal() else None
        if name == "close" and first.isdecimal():
            process.handles.pop(int(first), None)
            process.folders.pop(int(first), None)
        return _Begun(thread, name, rest, self._done, handle)

    def _finish(self, process: _Process, begun: _Begun, text: str, result: int) -> Iterator[Call]:
        arguments = text.split(", ")
        name, handle = begun.name, begun.handle
        if name in _MAKERS:
            if result not in self._processes:
                self._processes[result] = self._made(begun.thread, text)
        elif name == "execve":
            process.handles.clear()  # everything of ours is opened with O_CLOEXEC
            process.folders.clear()
        elif name == "chdir":
            raise NotUnderstood("chdir: relative paths would be misread")
        elif name == "mmap":
            self._check_mapping(process, arguments)
        elif name in ("dup", "dup2", "dup3") or (name == "fcntl" and "F_DUPFD" in arguments[1]):
            self._note(process, result, handle)
        elif name in _OPENERS:
            yield from self._open(process, name, arguments, result)
        elif name in _PATHS:
            yield from self._change_path(process, name, arguments)
        elif handle is not None:
            yield from self._change_file(begun, arguments, result)
        elif name in ("copy_file_range", "sendfile", "splice"):
            target = arguments[0] if name == "sendfile" else arguments[2]
            if int(target) in process.handles:
                raise NotUnderstood(f"{name} into a file")

    def _note(self, process: _Process, descriptor: int, handle: int | None) -> None:
        process.handles.pop(descriptor, None)
        process.folders.pop(descriptor, None)
        if handle is not None:
            process.handles[descriptor] = handle
            process.folders[descriptor] = self._paths[handle]

    def _open(self, process: _Process, name: str, arguments: list[str], result: int) -> Iterator[Call]:
        if name in ("openat", "openat2"):
            path = self._path(process, arguments[0], arguments[1])
            flags, modes = arguments[2], arguments[3:]
        else:
            path = self._path(process, "AT_FDCWD", arguments[0])
            flags, modes = (
                (arguments[1], arguments[2:]) if name == "open" else ("O_WRONLY|O_CREAT|O_TRUNC", arguments[1:])
            )
        is_mark = path == self._marks
        if not self._is_ours(path) and not is_mark:
            self._note(process, result, None)
            return
        if "O_TMPFILE" in flags or name == "openat2":
            raise NotUnderstood(f"{name} with {flags}")
        handle = next(self._numbers)
        self._paths[handle] = path
        self._note(process, result, handle)
        if "O_RDWR" in flags:
            self._readable.add(handle)
        if is_mark:
            self._marking.add(handle)
            return
        yield Open(
            handle=handle,
            path=path,
            creates="O_CREAT" in flags,
            truncates="O_TRUNC" in flags,
            appends="O_APPEND" in flags,
            mode=int(modes[0], 8) & ~UMASK if modes else 0o600,
        )

    def _change_path(self, process: _Process, name: str, arguments: list[str]) -> Iterator[Call]:
        places = [place if place < 0 else arguments[place] for place in _PATHS[name]]
        paths = [
            self._path(process, "AT_FDCWD" if folder == -1 else str(folder), str(path))
            for folder, path in zip(places[::2], places[1::2], strict=True)
        ]
        ours = [path for path in paths if self._is_ours(path)]
        if not ours:
            return
        if name in ("rename", "renameat", "renameat2") and len(ours) == 2 and "EXCHANGE" not in arguments[-1]:
            yield Rename(path=paths[0], to=paths[1])
        elif name in ("unlink", "unlinkat", "rmdir"):
            yield Remove(path=paths[0])
        elif name in ("mkdir", "mkdirat"):
            yield Mkdir(path=paths[0], mode=int(arguments[-1], 8) & ~UMASK)
        elif name in ("chmod", "fchmodat"):
            yield Chmod(path=paths[0], mode=int(arguments[1 if name == "chmod" else 2], 8))
        else:
            raise NotUnderstood(f"{name} of {' and '.join(paths)}")

    def _change_file(self, begun: _Begun, arguments: list[str], result: int) -> Iterator[Call]:
        name, handle = begun.name, begun.handle
        assert handle is not None
        if name in ("write", "writev"):
            data = _text(arguments[1]) if name == "write" else _vector(begun.text)
            if handle in self._marking:
                yield from (Mark(text=line) for line in data.decode().splitlines())
                return
            if handle in self._readable:
                raise NotUnderstood(f"{name} to a file that is also read: where does it stand?")
            yield Write(handle=handle, data=data[:result])
        elif name == "pwrite64":
            yield Write(handle=handle, data=_text(arguments[1])[:result], offset=int(arguments[3]))
        elif name in ("pwritev", "pwritev2"):
            offset = int(begun.text.rpartition("], ")[2].split(", ")[1].partition(")")[0])
            yield Write(handle=handle, data=_vector(begun.text)[:result], offset=offset)
        elif name == "ftruncate":
            yield Truncate(handle=handle, size_bytes=int(arguments[1]))
        elif name in ("fsync", "fdatasync"):
            yield Sync(handle=handle, began=begun.at, data_only=name == "fdatasync")
        elif name == "fchmod":
            yield Chmod(handle=handle, mode=int(arguments[1], 8))
        elif name == "fallocate" and arguments[1] == "0":
            yield Truncate(handle=handle, size_bytes=int(arguments[2]) + int(arguments[3]), only_grows=True)
        elif name == "fallocate" and arguments[1] == "FALLOC_FL_KEEP_SIZE":
            return
        elif name in ("fallocate", "syncfs", "fsetxattr", "copy_file_range", "splice") or (
            name == "lseek" and handle not in self._readable and result
        ):
            raise NotUnderstood(f"{name} of {self._paths[handle]}")

    def _check_mapping(self, process: _Process, arguments: list[str]) -> None:
        descriptor = arguments[4]
        handle = process.handles.get(int(descriptor)) if descriptor.isdecimal() else None
        is_written = "PROT_WRITE" in arguments[2] and "MAP_SHARED" in arguments[3]
        if handle is not None and is_written and not self._paths[handle].endswith("-shm"):
            raise NotUnderstood(f"{self._paths[handle]} is written through memory")

    def _path(self, process: _Process, folder: str, quoted: str) -> str:
        path = os.fsdecode(_text(quoted))
        if folder != "AT_FDCWD" and not path.startswith("/"):
            return os.path.normpath(os.path.join(process.folders.get(int(folder), "/elsewhere"), path))  # noqa: PTH118
        return os.path.normpath(os.path.join(self._working, path))  # noqa: PTH118 - names of another process

    def _is_ours(self, path: str) -> bool:
        return path == self._folder or path.startswith(f"{self._folder}/")


_MAKERS = ("fork", "vfork", "clone", "clone3")
_OPENERS = ("open", "creat", "openat", "openat2")
# Where among a call's arguments its paths stand, as pairs of folder and path; -1: the working folder.
_PATHS: Mapping[str, tuple[int, ...]] = {
    "rename": (-1, 0, -1, 1),
    "renameat": (0, 1, 2, 3),
    "renameat2": (0, 1, 2, 3),
    "unlink": (-1, 0),
    "unlinkat": (0, 1),
    "rmdir": (-1, 0),
    "mkdir": (-1, 0),
    "mkdirat": (0, 1),
    "chmod": (-1, 0),
    "fchmodat": (0, 1),
    "truncate": (-1, 0),
    "link": (-1, 0, -1, 1),
    "linkat": (0, 1, 2, 3),
    "symlink": (-1, 1),
    "symlinkat": (1, 2),
    "mknodat": (0, 1),
    "setxattr": (-1, 0),
}


def _text(quoted: str) -> bytes:
    """The bytes of one string of the trace, all of which are written as hex."""
    if not quoted.endswith('"'):
        raise NotUnderstood(f"a string that strace has shortened: {quoted[-20:]}")
    return bytes.fromhex(quoted.strip('"').replace("\\x", ""))


def _vector(text: str) -> bytes:
    return b"".join(_text(f'"{part}"') for part in _IOVEC.findall(text))
