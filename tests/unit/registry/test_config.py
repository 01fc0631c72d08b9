"""The `registry:` section, and the URL in it."""

import pytest
from pydantic import ValidationError

from upstream.registry import RegistryConfig, RegistryMisconfigured, open_registry
from upstream.registry.sql.urls import with_driver

KEY = "0123456789abcdef0123456789abcdef"


def test_the_embedded_database_is_the_default() -> None:
    config = RegistryConfig()
    assert (config.kind, config.url, config.service.port) == ("sql", "sqlite:///var/registry.db", 9191)


def test_an_unknown_kind_or_key_is_refused() -> None:
    for section in ({"kind": "etcd"}, {"urll": "x"}, {"remote": {"token": "x"}}, {"url": "no url"}):
        with pytest.raises(ValidationError):
            RegistryConfig.model_validate(section)


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        ({}, r"registry\.remote\.url: "),
        ({"key": KEY}, r"registry\.remote\.url: "),
        ({"url": "http://r:9191"}, r"registry\.remote\.key: "),
    ],
)
def test_a_remote_registry_needs_to_know_where_and_by_what_key(remote: dict[str, str], told: str) -> None:
    with pytest.raises(RegistryMisconfigured, match=told):
        open_registry(RegistryConfig.model_validate({"kind": "remote", "remote": remote}))


@pytest.mark.parametrize("key", [KEY[:31], "", [KEY, KEY[:31]], 1234567890, [[KEY]], {"a": KEY}])
def test_a_key_that_could_be_guessed_is_refused_without_being_told(key: object) -> None:
    with pytest.raises(ValidationError, match="at least 32 characters") as refused:
        RegistryConfig.model_validate({"remote": {"key": key}})
    assert KEY[:31] not in str(refused.value.errors(include_input=False))


def test_of_several_keys_the_first_signs() -> None:
    config = RegistryConfig.model_validate({"remote": {"key": [KEY[::-1], KEY]}})
    assert config.remote.keys == (KEY[::-1].encode(), KEY.encode())
    assert RegistryConfig.model_validate({"remote": {"key": KEY}}).remote.keys == (KEY.encode(),)
    assert RegistryConfig.model_validate({"remote": {"key": None}}).remote.keys == ()


@pytest.mark.parametrize("url", ["r:9191", "ftp://r", "http://", "http://u:p@r", "http://r/path", "http://r/?q=1"])
def test_an_address_of_a_registry_is_scheme_host_and_port(url: str) -> None:
    with pytest.raises(ValidationError, match="expected a scheme, a host and a port"):
        RegistryConfig.model_validate({"remote": {"url": url}})


def test_the_metadata_of_a_glance_are_not_opened_as_a_registry() -> None:
    config = RegistryConfig.model_validate({"kind": "glance", "glance": {"url": "http://glance:9292/"}})
    assert config.glance.url == "http://glance:9292"
    with pytest.raises(RegistryMisconfigured, match=r"registry\.kind: with glance"):
        open_registry(config)


@pytest.mark.parametrize("glance", [{}, {"url": "glance"}, {"url": "http://a:b@glance"}, {"url": "ftp://glance"}])
def test_a_glance_needs_a_url_that_can_be_asked(glance: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"expected a URL|required with kind glance"):
        RegistryConfig.model_validate({"kind": "glance", "glance": glance})


def test_no_secret_is_shown() -> None:
    config = RegistryConfig.model_validate(
        {"url": "postgresql://glint:hush@db/glance", "remote": {"url": "http://r", "key": "hush" * 8}}
    )
    assert "hush" not in repr(config)
    assert "hush" not in config.model_dump_json()
    assert "postgresql://glint:***@db/glance" in config.model_dump_json()
    with pytest.raises(ValidationError) as refused:
        RegistryConfig(url="hush@nowhere")
    assert "hush" not in str(refused.value.errors(include_input=False))


@pytest.mark.parametrize("url", ["sqlite:///var/r.db", "sqlite+pysqlite:///var/r.db", "sqlite+aiosqlite:///var/r.db"])
def test_the_driver_is_chosen_for_the_operator(url: str) -> None:
    assert with_driver(url).render_as_string() == "sqlite+aiosqlite:///var/r.db"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "oracle://db/x", "mongodb://db/x"])
def test_a_database_that_cannot_serve_is_refused_with_what_would(url: str) -> None:
    with pytest.raises(RegistryMisconfigured, match=r"registry\.url: .*sqlite"):
        with_driver(url)
