"""`glint config import`: files of a Glance in, config.yaml and a report out. What is read and written is here."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
import yaml

from proxy.commands import config as checks
from proxy.commands.errors import CommandFailed
from proxy.config import Config, ConfigError, build
from proxy.config_import import report
from proxy.config_import.conf import Assignment, Conf, ConfBroken, parse
from proxy.config_import.identity_rows import PASTE_FILE
from proxy.config_import.importing import Imported, carry_over
from proxy.config_import.paste import Paste, parse_paste
from proxy.config_import.yaml_text import document

_OWN_PASTE = "glance-api-paste.ini"
_NEIGHBOURS = ("glance-api.conf", "glance-image-import.conf", "glance-cache.conf", "glance-api.conf.d")


class NothingWritten(CommandFailed):
    """A file cannot be read, or the output not be written. Exit status 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`files` in the order in which Glance reads them; those of the `folders` come after all of them."""

    files: Sequence[Path]
    folders: Sequence[Path] = ()
    output: Path | None = None
    force: bool = False
    as_json: bool = False


class Beside:
    """The folders of the files, and what lies in them. See `Surroundings`."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [folder.absolute() for folder in folders]

    def find(self, name: str) -> Path | None:
        places = [folder / name for folder in self._folders] if name else []
        return next((place for place in places if place.exists()), None)

    def read(self, path: Path) -> str | None:
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError):
            return None

    def files_in(self, name: str) -> list[Path]:
        folder = self.find(name)
        return sorted(path for path in folder.iterdir() if path.is_file()) if folder and folder.is_dir() else []


def run(options: Options, environment: Mapping[str, str]) -> bool:
    """Whether the result would work. Raises NothingWritten."""
    paths = [*options.files, *(path for folder in options.folders for path in _in_folder(folder))]
    if options.output and options.output.exists() and not options.force:
        raise NothingWritten(f"{options.output}: is there already; --force replaces it")
    files = [_read(path) for path in paths]
    beside = Beside([*options.folders, *(path.parent for path in reversed(options.files))])
    imported = carry_over(files, beside, _paste(files, beside))
    problems = report.reasons(imported)
    problems += [report.with_places(problem, imported.mapped) for problem in _check(imported, options, environment)]
    if options.output:
        _write(options.output, _text(imported, paths, with_secrets=True), force=options.force)
    _tell(imported, problems, options, paths)
    return not problems


def _in_folder(folder: Path) -> list[Path]:
    """As oslo.config takes a --config-dir: *.conf, by name."""
    if not folder.is_dir():
        raise NothingWritten(f"{folder}: is no folder")
    return sorted(path for path in folder.glob("*.conf") if path.is_file())


def _read(path: Path) -> list[Assignment]:
    try:
        return parse(path.read_text(), str(path))
    except OSError as error:
        raise NothingWritten(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise NothingWritten(f"{path}: is no text in UTF-8") from None
    except ConfBroken as error:
        raise NothingWritten(str(error)) from None


def _paste(files: Sequence[Sequence[Assignment]], beside: Beside) -> Paste | None:
    said = Conf(files).counting(PASTE_FILE.names)
    found = beside.find(said[0].text if said else _OWN_PASTE)
    text = beside.read(found) if found and found.is_file() else None
    try:
        return parse_paste(text, str(found)) if text is not None else None
    except ConfBroken as error:
        raise NothingWritten(str(error)) from None


def _text(imported: Imported, paths: Sequence[Path], *, with_secrets: bool) -> str:
    head = [
        f"Made by `glint config import` of {', '.join(map(str, paths))}.",
        "Beside each value: where it comes from.",
    ]
    if not with_secrets:
        head += ["", "Secrets are masked here: --output FILE writes them, into a file for its owner only."]
    return document(imported.mapped, list(Config.model_fields), head, with_secrets=with_secrets)


def _check(imported: Imported, options: Options, environment: Mapping[str, str]) -> list[str]:
    """What `glint config check` says of it."""
    folder = options.output.parent if options.output else Path()
    try:
        config = build(yaml.safe_load(_text(imported, (), with_secrets=True)), folder, environment=environment)
    except ConfigError as error:
        return error.problems
    return checks.check(config)


def _write(output: Path, text: str, *, force: bool) -> None:
    """Whole or not at all, and for its owner only: it may hold passwords."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            if force:
                part.replace(output)
            else:
                output.hardlink_to(part)  # fails where there is one by now
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError:
        raise NothingWritten(f"{output}: is there already; --force replaces it") from None
    except OSError as error:
        raise NothingWritten(f"{output}: cannot be written: {error.strerror}") from error


def _tell(imported: Imported, problems: Sequence[str], options: Options, paths: Sequence[Path]) -> None:
    """Without an output, the file goes to standard output and the report to standard error."""
    untouched = report.untouched(Config, imported.mapped)
    if options.as_json:
        told = report.as_json(imported, untouched, problems)
        told |= {"files": list(map(str, paths)), "output": str(options.output) if options.output else None}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    if options.output is None:
        typer.echo(_text(imported, paths, with_secrets=False))
    lines = report.lines(imported, untouched, problems)
    lines += [f"Not read, though it lies there: {path}" for path in _neighbours(options, paths)]
    if options.output:
        lines.append(f"{options.output} is written, for its owner only.")
    typer.echo("\n".join(lines), err=options.output is None)


def _neighbours(options: Options, paths: Sequence[Path]) -> list[Path]:
    """What a Glance with these files may read as well."""
    folders = dict.fromkeys(path.parent for path in options.files)
    read = {path.absolute() for path in (*paths, *options.folders)}
    near = (folder / name for folder in folders for name in _NEIGHBOURS)
    return [path for path in near if path.exists() and path.absolute() not in read]
