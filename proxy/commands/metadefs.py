"""`glint registry metadefs`: the catalogue of metadata definitions, to and from files of Glance's format."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from proxy.commands.errors import CommandFailed
from proxy.commands.metadef_files import BadDefinitions, file_names, parse, render
from proxy.config import Config
from upstream.errors import UpstreamError
from upstream.registry import Definitions, Merge, Registry, RegistryMisconfigured, open_registry


class NoCatalogue(CommandFailed):
    """The registry cannot be opened, or cannot answer."""


class NoDefinitions(CommandFailed):
    """There is nothing to load, or no place to export to."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file: what it defines, or why it defines nothing."""

    path: Path
    definitions: Definitions | None
    problem: str = ""


def read(place: Path) -> list[Source]:
    """All `*.json` of a folder by their names, or one file. Raises NoDefinitions."""
    try:
        paths = [place] if place.is_file() else sorted(path for path in place.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise NoDefinitions(f"{place}: {error.strerror}") from error
    sources = [_source(path) for path in paths if path.is_file()]
    if not sources:
        raise NoDefinitions(f"{place}: there are no files *.json")
    return sources


def _source(path: Path) -> Source:
    try:
        return Source(path, parse(path.read_text(encoding="utf-8")))
    except BadDefinitions as error:
        return Source(path, None, str(error))
    except UnicodeDecodeError:
        return Source(path, None, "is not UTF-8")
    except OSError as error:
        return Source(path, None, error.strerror or type(error).__name__)


async def load(config: Config, sources: Sequence[Source], merge: Merge) -> bool:
    """Take every good file in, each in one transaction; False if one was bad. Raises CommandFailed."""
    all_well = True
    async with _opened(config) as registry:
        for source in sources:
            problem, outcome = source.problem, ""
            if source.definitions is not None:
                problem, outcome = await _load_one(registry, source.definitions, merge)
            if problem:
                all_well = False
                typer.echo(f"glint: {source.path}: {problem}", err=True)
            else:
                typer.echo(f"{source.path.name}: {outcome}")
    return all_well


async def _load_one(registry: Registry, definitions: Definitions, merge: Merge) -> tuple[str, str]:
    """What went wrong, and what became of it."""
    name = definitions.namespace.name
    try:
        is_loaded = await registry.metadefs.catalogue.load(definitions, merge)
    except UpstreamError as error:
        return f"{name}: {error}", ""
    return "", f"loaded {name}" if is_loaded else f"left {name} as it is; --merge adds to it"


async def exported(config: Config) -> Sequence[Definitions]:
    """Raises CommandFailed."""
    async with _opened(config) as registry:
        return await registry.metadefs.catalogue.export()


def write(folder: Path, everything: Sequence[Definitions]) -> None:
    """One file for each namespace; files of the same names are replaced, each at once. Raises NoDefinitions."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, definitions in zip(file_names(each.namespace for each in everything), everything, strict=True):
            part = folder / f".{name}.part"
            part.write_text(render(definitions), encoding="utf-8")
            part.replace(folder / name)
            typer.echo(f"{name}: {definitions.namespace.name}")
    except OSError as error:
        raise NoDefinitions(f"{error.filename}: {error.strerror}") from error


async def unload(config: Config) -> bool:
    """Remove every definition. Raises CommandFailed."""
    async with _opened(config) as registry:
        await registry.metadefs.catalogue.clear()
    return True


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[Registry]:
    try:
        async with open_registry(config.registry) as registry:
            yield registry
    except (RegistryMisconfigured, UpstreamError) as error:
        raise NoCatalogue(str(error)) from error
