"""The table against a real Glance: no option of it is unknown, and no default of it is forgotten."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import Config, build
from proxy.config_import.store_kinds import KINDS
from proxy.config_import.table import OPTIONS, row_of
from proxy.config_import.yaml_text import document
from tests.config_import.imported import imported
from tests.peers.environments import ensure_environment

LISTING = Path(__file__).with_name("list_options.py")
SAMPLE = Path(__file__).with_name("glance-api-mitaka.conf")
OTHERWISE = {
    "server.host": "Glance listens on all addresses",
    "server.workers": "Glance has a process for each core",
    "cache.size_max": "smaller in Glance",
    "api.staging_dir": "below /tmp or /var in Glance",
    "stores.backends.file.dir": "below /var in Glance",
    "stores.backends.file.threads_max": "fewer in Glance",
    "stores.default": "stores have Glance's names",
    "stores.backends.file.kind": "stores have Glance's names",
    "stores.backends.http.kind": "stores have Glance's names",
    "stores.backends.http.verify_tls": "Glance takes any certificate",
    "token_cache.security_strategy": "none in Glance",
    "auth.kind": "Glance has no authentication",
    "registry.pool_max": "fewer in Glance, with more on top",
    "server.client_idle_s": "longer in Glance",
    "auth.keystone.delay_auth_decision": "false in keystonemiddleware, true in Glance's paste file",
    "api.cache_api": "false without a folder",
}
"""Keys whose default is another one than Glance's. Where it matters, the import writes them in any case."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An option as a real Glance has it. `older` are its names of once."""

    section: str
    name: str
    default: Any
    older: tuple[tuple[str, str], ...]


@cache
def registered() -> tuple[Registered, ...]:
    program = ensure_environment("glance") / "bin" / "python"
    environment = {"PATH": os.defpath, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([program, LISTING], env=environment, capture_output=True, text=True, check=True, timeout=100)
    return tuple(
        Registered(one["section"], one["name"], one["default"], tuple(map(tuple, one["older"])))
        for one in json.loads(done.stdout)
    )


def test_the_listing_has_the_options_of_all_libraries() -> None:
    sections = {one.section for one in registered()}
    assert len(registered()) > 400
    assert {"DEFAULT", "database", "keystone_authtoken", "oslo_policy", "oslo_limit", "cors", "wsgi"} < sections
    assert {"oslo_messaging_rabbit", "import_filtering_opts", "taskflow_executor", "key_manager"} < sections


def test_every_option_of_a_real_glance_is_in_the_table_by_all_its_names() -> None:
    names = {(one.section, one.name) for one in registered()} | {name for one in registered() for name in one.older}
    assert [f"[{section}] {name}" for section, name in sorted(names) if row_of(section, name) is None] == []


def test_every_option_of_a_sample_of_mitaka_is_in_the_table() -> None:
    outcome = imported(SAMPLE.read_text())
    assert [reason for one in outcome.imported.dropped for reason in [one.reason] if "no Glance reads" in reason] == []


def test_the_tables_own_defaults_are_those_of_a_real_glance() -> None:
    """Where a row says one: others are not needed, as nothing is written for them."""
    for one in registered():
        option = OPTIONS.get((one.section, one.name))
        if option and option.default is not None and one.default is not None:
            assert _same(option.kind.read(option.default), one.default), str(option)


def _same(ours: Any, theirs: Any) -> bool:
    return theirs in (ours, [ours]) or [theirs] == ours or str(ours) == str(theirs)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.options], ids=lambda kind: kind.name)
def test_a_store_that_glint_serves_reads_every_option_of_its_kind(kind: Any) -> None:
    prefixed = {
        one.name for one in registered() if one.section == "glance_store" and one.name.startswith(kind.prefixes)
    }
    assert {option.name for option in kind.options} == prefixed


def test_what_glance_does_unasked_glint_does_too_or_is_told() -> None:
    """Options at Glance's defaults, one by one, change nothing in Glint, but for the keys that are listed here."""
    given = {
        one.key: one
        for option in registered()
        if (text := _text(option.default)) is not None and (option.section, option.name) in OPTIONS
        for one in imported(f"[{option.section}]\n{option.name} = {text}\n").imported.mapped
        if any(said.name == option.name for said in one.said) and one.dotted not in OTHERWISE
    }
    assert len(given) > 40
    backends = {"file": {"kind": "file"}, "http": {"kind": "http"}}
    written = yaml.safe_load(document(given.values(), list(Config.model_fields), [], with_secrets=True))
    for name, backend in written.get("stores", {}).pop("backends", {}).items():
        backends[name] |= backend
    stores = {"stores": {"default": "file", "backends": backends}}
    plain = build({"stores": {"default": "file", "backends": {name: {"kind": name} for name in backends}}}, Path("/"))
    assert build(written | stores, Path("/")) == plain


def _text(default: Any) -> str | None:
    """As it would stand in a file."""
    if isinstance(default, list):
        return ",".join(map(str, default))
    if isinstance(default, Mapping):
        return ",".join(f"{name}:{value}" for name, value in default.items())
    return None if default is None else str(default)
