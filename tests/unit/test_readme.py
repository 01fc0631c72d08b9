"""What README and OPERATIONS have an operator copy is taken as it stands: configurations, commands, metrics, events."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client import CollectorRegistry

import cache
from metrics import Instruments, RegistryInstruments, Supervision
from proxy.cli import app
from proxy.config import Config, build

ROOT = Path(__file__).parents[2]
README = "\n".join((ROOT / name).read_text() for name in ("README.md", "OPERATIONS.md"))
DOCUMENTS = README + "\n".join(
    (ROOT / name).read_text() for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
)
SECRETS = {"GLINT_AUTH__KEYSTONE__PASSWORD": "p", "GLINT_TOKEN_CACHE__SECRET_KEY": "k" * 32}


def blocks(language: str) -> list[str]:
    """All that are fenced so, indented or not."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


def configurations() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(text) for text in blocks("yaml")]
    return [document for document in documents if set(document) <= set(Config.model_fields)]


def commands() -> list[list[str]]:
    """Each `glint …` of the text that names a command, and what follows it."""
    told = [" ".join(text.split()) for text in re.findall(r"`(glint [a-z][^`]*)`", README)]
    return [shlex.split(each.partition(" | ")[0])[1:] for each in told]


def known_metrics() -> Iterator[str]:
    registry = CollectorRegistry()
    Supervision(registry)
    for numbers in (registry, Instruments().registry, RegistryInstruments().registry):
        for family in numbers.collect():
            yield family.name
            yield f"{family.name}_total"
            yield f"{family.name}_bucket"


def logged_events() -> set[str]:
    sources = (file.read_text() for folder in ("proxy", "cache", "upstream") for file in (ROOT / folder).rglob("*.py"))
    return {event for text in sources for event in re.findall(r"\"([a-z_]+\.[a-z_]+)\"", text)}


def test_each_configuration_is_one() -> None:
    documents = configurations()
    assert len(documents) >= 2
    for document in documents:
        build(document, Path("/etc/glint"), environment=SECRETS)


def test_a_service_with_it_writes_only_where_its_unit_lets_it() -> None:
    document = next(each for each in configurations() if "stores" in each)
    config = build(document, Path("/etc/glint"), environment=SECRETS)
    database = Path(config.registry.url.removeprefix("sqlite:///"))
    folders = [config.cache.dir, config.api.staging_dir, database]
    folders += [each.dir for each in config.stores.backends.values() if each.kind == "file" and each.dir]
    assert all(
        folder.is_relative_to("/var/lib/glint") or folder.is_relative_to("/var/cache/glint") for folder in folders
    )


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_each_command_is_there(command: list[str]) -> None:
    place: Any = typer.main.get_command(app)
    for name in command:
        inner = getattr(place, "commands", None)
        if inner is None:
            options = {option for parameter in place.params for option in parameter.opts}
            assert not name.startswith("--") or name.partition("=")[0] in options
        else:
            assert name in inner
            place = inner[name]


def test_each_metric_is_counted() -> None:
    told = set(re.findall(r"\bglint_[a-z_]+", README)) - {"glint_build_info"}
    assert len(told) > 5
    assert told <= set(known_metrics())


def test_each_event_is_logged() -> None:
    rows = re.findall(r"^\| (`[a-z_.]+`(?:, `[a-z_.]+`)*) \|", README, re.MULTILINE)
    told = {event for row in rows for event in re.findall(r"`([a-z_]+\.[a-z_]+)`", row)}
    assert len(told) > 20
    assert told <= logged_events()


def test_each_key_of_the_configuration_that_is_named_is_there() -> None:
    sections = "|".join(Config.model_fields)
    named = set(re.findall(rf"`((?:{sections})(?:\.[a-z_]+)+)(?![\w.(])", DOCUMENTS)) - logged_events()
    named -= {f"cache.{name}" for name in cache.__all__}
    shown = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert len(named) > 10
    for key in named:
        place = shown
        for name in key.split("."):
            assert name in place, key
            place = place[name]


def test_each_module_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", DOCUMENTS))
    folders = ("proxy", "cache", "upstream", "metrics", "tests", "bench")
    there = {f"/{file.relative_to(ROOT)}" for folder in folders for file in (ROOT / folder).rglob("*.py")}
    assert len(named) > 20
    for name in named:
        assert any(file.endswith(f"/{name}") for file in there), name
