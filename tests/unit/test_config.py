"""config.yaml, the environment and --set: what comes of them, and what is said when nothing can."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from proxy.config import Config, ConfigError, load, origins
from proxy.config.reading import read_yaml
from upstream.stores import FileStoreConfig, HttpStoreConfig, RbdStoreConfig, S3StoreConfig, SwiftStoreConfig
from upstream.stores.backend import BackendConfig
from upstream.stores.guard.config import GuardConfig
from upstream.stores.swift import Reference

SHIPPED = Path(__file__).parents[2] / "config.yaml"
KEYSTONE = {"kind": "keystone", "keystone": {"auth_url": "http://k:5000", "username": "u", "password": "hunter2"}}

_SERVICE_USER = ("auth.keystone.username=u", "auth.keystone.password=p")


def written(folder: Path, document: Mapping[str, Any] | str) -> Path:
    path = folder / "config.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def problems_of(path: Path | None, *overrides: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(path, overrides, environment)
    return refused.value.problems


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """Values by dotted path, of a model or of a document."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if not isinstance(value, Mapping) or not value:
        return {prefix.removesuffix("."): value}
    return {path: leaf for name, inner in value.items() for path, leaf in leaves(inner, f"{prefix}{name}.").items()}


def test_config_yaml_has_every_key_and_none_besides() -> None:
    """Backends are an example there: each kind with all its keys. What guards a store is told once for all kinds."""
    shipped = yaml.safe_load(SHIPPED.read_text())
    backends = shipped["stores"].pop("backends")
    modelled = set(leaves(Config())) - set(leaves({"stores": {"backends": Config().stores.backends}}))
    assert set(leaves(shipped)) == modelled
    models: dict[str, type[BaseModel]] = {"file": FileStoreConfig, "http": HttpStoreConfig}
    guards = [set(backend["guard"]) for backend in backends.values() if "guard" in backend]
    assert guards == [set(GuardConfig.model_fields)]
    assert {backend["kind"]: set(backend) | {"guard"} for backend in backends.values()} == {
        kind: set(model.model_fields) for kind, model in models.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        SHIPPED.read_text(),
        "a: 2026-01-01\nb: 0o17\nc: 017\nd: yes\ne: 1_000\nf: !!str 1\ng: ~\nh: 1e3\ni: 0x1F\nj: 12:30:45\n",
        "- &one {x: 1}\n- *one\n- <<: *one\n  y: 2\n",
        "a: |\n  two\n  lines\nb: >-\n  fol\n  ded\nc: 'it''s'\nd: \"\\x41\"\n? größe\n: 雪\n",
        "%YAML 1.1\n---\n# nothing\n",
    ],
    ids=["as shipped", "numbers and dates", "anchors", "texts", "nothing"],
)
def test_a_document_means_what_the_plain_parser_makes_of_it(text: str) -> None:
    assert read_yaml(text) == yaml.safe_load(text)


def marked_backends() -> dict[str, Any]:
    """The stores that are there as comments, as if their marks were taken away."""
    section = SHIPPED.read_text().partition("  backends:")[2].partition("\nregistry:")[0]
    marked = [line.removeprefix("    # ") for line in section.splitlines() if line.startswith("    # ")]
    backends: dict[str, Any] = yaml.safe_load("\n".join(marked[1:]))  # but for the first, which says what they are
    return backends


def test_further_kinds_of_stores_are_there_with_every_key_of_their_own_and_its_default() -> None:
    common = set(BackendConfig.model_fields)
    models: dict[str, type[BaseModel]] = {"rbd": RbdStoreConfig, "s3": S3StoreConfig, "swift": SwiftStoreConfig}
    marked = marked_backends()
    assert {backend["kind"] for backend in marked.values()} == set(models)
    for backend in marked.values():
        model = models[backend["kind"]]
        assert set(backend) - common == set(model.model_fields) - common
        shown = model.model_validate(backend)
        needed = {name: value for name, value in backend.items() if model.model_fields[name].is_required()}
        assert shown == model.model_validate(needed)
    assert set(marked["swift"]["references"]["ref1"]) == set(Reference.model_fields)


def test_config_yaml_says_the_defaults() -> None:
    """Anchored at the same folder, the file and no file come to the same."""
    shipped = leaves(Config.model_validate(yaml.safe_load(SHIPPED.read_text())))
    expected = leaves(Config())
    expected |= leaves({"stores": {"backends": {"web": HttpStoreConfig(kind="http")}}})
    assert shipped == expected


def test_all_problems_are_told_at_once_each_with_its_path(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"cache": {"size_max": "lots", "sizes": 1}, "server": {"port": "http"}, "logging": {"level": "loud"}},
    )
    assert sorted(problems_of(path, "metrics.port=70000", "nonsense")) == [
        "--set nonsense: expected KEY=VALUE, such as --set cache.size_max='2 GiB'",
        "cache.size_max: expected a size such as \"20 GiB\", got 'lots'",
        "cache.sizes: unknown key; did you mean size_max?",
        "logging.level: expected 'debug', 'info', 'warning' or 'error', got 'loud'",
        "metrics.port: expected at most 65535, got 70000",
        "server.port: expected a whole number, got 'http'",
    ]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("cash.dir=x", "cash: unknown key; did you mean cache?"),
        ("cache.fill_max=3", "cache.fill_max: unknown key; did you mean fills_max?"),
        ("server.tls.certifcate=x", "server.tls.certifcate: unknown key; did you mean certificate?"),
        ("auth.keystone.zzz=x", "auth.keystone.zzz: unknown key"),
        ("stores.backends.local={kind: file, guard: {idle: 3}}", "stores.backends.local.guard.idle: unknown key"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(override: str, told: str) -> None:
    assert problems_of(None, override) == [told]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("server.workers=-1", "server.workers: expected at least 0, got -1"),
        ("server.workers=1.5", "server.workers: expected a whole number, got 1.5"),
        ("cache.fill_idle_s=0", "cache.fill_idle_s: expected more than 0.0, got 0"),
        ("cache.stall_s=10s", "cache.stall_s: expected a number, got '10s'"),
        ("server.host=[a]", "server.host: expected a text"),
        (
            "server.public_endpoint=images.example.org",
            "server.public_endpoint: expected a URL such as https://images.example.org:9292, got 'images.example.org'",
        ),
        (
            "token_cache.memcached_servers='10.0.0.1:11211'",
            "token_cache.memcached_servers: expected a list, such as [one, two], got '10.0.0.1:11211'",
        ),
        (
            "stores.backends.w={kind: http, denied_networks: [10.0.0.0/33]}",
            "stores.backends.w.denied_networks.0: expected a network such as 10.0.0.0/8, got '10.0.0.0/33'",
        ),
        ("stores.default=fast", "stores.default: expected one of the backends (local), got 'fast'"),
        (
            "stores.backends.c={kind: ceph}",
            "stores.backends.c.kind: expected one of 'file', 'http', 'rbd', 's3', 'swift', got 'ceph'",
        ),
        (
            "stores.backends.a,b={kind: file, dir: b}",
            "stores.backends.a,b: expected a text that matches ^[^\\s,/]{1,255}$, got 'a,b'",
        ),
        (
            "registry.kind=glance",
            "registry.glance.url: required with kind glance, such as http://glance.example.org:9292",
        ),
    ],
)
def test_what_was_expected_is_said_in_words_of_the_file(override: str, told: str) -> None:
    assert problems_of(None, override) == [told]


def test_set_wins_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, {"server": {"port": 1, "drain_s": 1}, "metrics": {"port": 1}})
    environment = {"GLINT_SERVER__PORT": "2", "GLINT_METRICS__PORT": "2", "GLINT_CONFIG": "ignored", "HOME": "/x"}
    config = load(path, ["server.port=3"], environment)
    assert (config.server.port, config.metrics.port, config.server.drain_s) == (3, 2, 1)
    assert origins(path, ["server.port=3"], environment) == {
        "server.port": "--set",
        "metrics.port": "GLINT_METRICS__PORT",
        "server.drain_s": str(path),
    }


def test_values_of_the_environment_and_of_set_are_yaml(tmp_path: Path) -> None:
    environment = {"GLINT_TOKEN_CACHE__MEMCACHED_SERVERS": "[a:1, b:2]", "GLINT_TOKEN_CACHE__SECRET_KEY": "k"}
    config = load(None, ["cache.size_max=2 GiB", "server.public_endpoint=http://x/"], environment)
    assert config.cache.size_max == 2 * 2**30
    assert config.token_cache.memcached_servers == ("a:1", "b:2")
    assert config.server.public_endpoint == "http://x/"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, {"cache": {"dir": "c"}, "registry": {"url": "sqlite:///r.db"}})
    monkeypatch.chdir("/")
    config = load(path, ["api.policy_file=/etc/policy.yaml"])
    assert config.cache.dir == tmp_path / "c"
    assert config.registry.url == f"sqlite:///{tmp_path}/r.db"
    assert config.api.policy_file == Path("/etc/policy.yaml")
    local = config.stores.backends["local"]
    assert isinstance(local, FileStoreConfig)
    assert local.dir == tmp_path / "var/images"


def test_without_a_file_paths_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None).cache.dir == tmp_path / "var/cache"


@pytest.mark.parametrize(
    "override",
    [
        "auth.keystone.password=[hunter2]",
        "token_cache.secret_key={a: hunter2}",
        "registry.url=hunter2 is no url",
        "registry.remote.key=[hunter2]",
        "auth.keystone.auth_url=ftp://u:hunter2@k",
        "notifications.url=[hunter2]",
        "stores.backends.cold={kind: S3, secret_key: hunter2}",
        "stores.backends.cold={access: hunter2}",
        "stores.backends.cold=[hunter2]",
    ],
)
def test_a_problem_does_not_repeat_a_secret(override: str) -> None:
    problems = problems_of(None, "auth.kind=keystone", override)
    assert any(problem.startswith(override.partition("=")[0]) for problem in problems)
    assert "hunter2" not in str(problems)


def test_the_configuration_does_not_print_its_secrets() -> None:
    config = Config.model_validate({"auth": KEYSTONE, "registry": {"url": "postgresql://u:hunter2@h/db"}})
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "glint.example.org"])
def test_without_authentication_only_loopback_is_taken(host: str) -> None:
    (problem,) = problems_of(None, f"server.host='{host}'")
    assert problem.startswith("auth.kind: with none everyone is admin, so server.host must be a loopback address")
    assert repr(host) in problem


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_has_many_names(host: str) -> None:
    assert load(None, [f"server.host='{host}'"]).server.host == host


def test_with_authentication_any_address_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, {"auth": KEYSTONE, "server": {"host": "0.0.0.0"}})
    assert load(path).server.host == "0.0.0.0"


def test_before_a_glance_any_address_is_taken_since_that_glance_authenticates(tmp_path: Path) -> None:
    registry = {"kind": "glance", "glance": {"url": "http://glance:9292"}}
    path = written(tmp_path, {"registry": registry, "server": {"host": "0.0.0.0"}})
    assert load(path).server.host == "0.0.0.0"
    assert problems_of(path, "auth.kind=keystone", "auth.keystone.auth_url=http://k:5000", *_SERVICE_USER) == [
        "auth.kind: with registry.kind glance that Glance says who asks; expected none, got keystone"
    ]


def test_what_is_wrong_between_sections_is_told_beside_the_rest() -> None:
    problems = problems_of(None, "server.host=0.0.0.0", "logging.level=loud")
    assert [problem.partition(":")[0] for problem in problems] == ["logging.level", "auth.kind"]


def test_what_a_store_may_do_in_the_background_is_a_part_of_what_it_may_do(tmp_path: Path) -> None:
    local = {"kind": "file", "requests_max": 4, "guard": {"background_requests_max": 9}}
    web = {"kind": "http", "guard": {"read_rate_max": "5 MiB", "background_rate_max": "6 MiB"}}
    path = written(tmp_path, {"stores": {"backends": {"local": local, "web": web}}})

    requests, rate = sorted(problems_of(path))

    assert requests.endswith("guard.background_requests_max: expected at most requests_max, 4")
    assert rate.endswith("expected background_rate_max to be at most read_rate_max, of which it is a part")


def test_keystone_needs_to_know_where_and_as_whom() -> None:
    problems = problems_of(None, "auth.kind=keystone")
    assert sorted(problems) == [
        "auth.keystone.auth_url: required, but not given",
        "auth.keystone.password: required, but not given",
        "auth.keystone.username: required, but not given",
    ]


def test_bad_yaml_is_told_with_its_place_and_without_its_text(tmp_path: Path) -> None:
    path = written(tmp_path, "auth:\n  keystone:\n    password: 'hunter2\n")
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}, line ")
    assert problem.endswith("is not valid YAML")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server:\n\tport: 1\n", ", line 2, column 1: is not valid YAML; indent by spaces, not by tabs"),
        (
            "auth: {keystone: {password: %x}}\n",
            ", line 1, column 29: is not valid YAML; put quotes around a value that begins with a sign such as @ or %",
        ),
        (
            "auth: {keystone: {password: *x}}\n",
            ", line 1, column 29: is not valid YAML; put quotes around a value that begins with *",
        ),
        ("server: {port: 1}\ncache:\nserver: {port: 2}\n", ", line 3, column 1: server stands there twice"),
    ],
)
def test_what_is_usually_wrong_with_yaml_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    assert problems_of(path) == [f"{path}{told}"]


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("server: {host: é}".encode("latin-1"))
    assert problems_of(path) == [f"{path}: expected text in UTF-8"]


@pytest.mark.parametrize(("text", "kind"), [("- a\n", "list"), ("just words\n", "str")])
def test_a_file_without_sections_is_refused(tmp_path: Path, text: str, kind: str) -> None:
    path = written(tmp_path, text)
    assert problems_of(path) == [f"{path}: expected sections such as `server:`, got a {kind}"]


def test_an_empty_file_and_empty_sections_leave_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, "# nothing yet\n")).server.port == 9292
    assert load(written(tmp_path, "server:\ncache:\n"), ["server.port=1"]).cache.fills_max == 64


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nothing.yaml"
    assert problems_of(path) == [f"{path}: cannot be read: No such file or directory"]


def test_a_value_is_not_taken_for_a_section(tmp_path: Path) -> None:
    path = written(tmp_path, {"server": {"port": 1}})
    assert problems_of(path, "server.port.x=1") == ["server.port.x: port is a value, not a section"]
