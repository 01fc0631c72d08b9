"""The `registry:` section, and the URL in it."""

import pytest
from pydantic import ValidationError

from upstream.registry import RegistryConfig, RegistryMisconfigured, open_registry
from upstream.registry.sql.urls import with_driver


def test_the_embedded_database_is_the_default() -> None:
    config = RegistryConfig()
    assert (config.kind, config.url, config.service.port) == ("sql", "sqlite:///var/registry.db", 9191)


def test_an_unknown_kind_or_key_is_refused() -> None:
    for section in ({"kind": "etcd"}, {"urll": "x"}, {"remote": {"token": "x"}}, {"url": "no url"}):
        with pytest.raises(ValidationError):
            RegistryConfig.model_validate(section)


@pytest.mark.parametrize("kind", ["remote"])
def test_a_kind_that_cannot_be_opened_says_which_can(kind: str) -> None:
    with pytest.raises(RegistryMisconfigured, match=rf"registry\.kind: .*'{kind}'.* sql"):
        open_registry(RegistryConfig.model_validate({"kind": kind}))


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
        {"url": "postgresql://glint:hush@db/glance", "remote": {"url": "http://r", "key": "hush"}}
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
