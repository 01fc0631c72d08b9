"""What a worker is told, and when one is replaced."""

import os
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from proxy.config import Config, ConfigError, ServerConfig, load
from proxy.workers import workers_of
from proxy.workers.assignment import Assignment
from proxy.workers.share import restart_delay_s, share_of

ROOT = Path(__file__).parents[2]
PASSWORD = "correct-horse"
OVERRIDES = [
    "auth.kind=keystone",
    "auth.keystone.auth_url=http://keystone.test:5000/v3",
    "auth.keystone.username=glint",
    f"auth.keystone.password={PASSWORD}",
    "auth.keystone.service_token_roles=[service, helper]",
    f"token_cache.secret_key={PASSWORD}",
    "token_cache.memcached_servers=['127.0.0.1:11211']",
    f"registry.url=postgresql://glint:{PASSWORD}@db.test/glance",
    f"registry.remote.key=[{PASSWORD:*<32}, {PASSWORD:-<40}]",
    "cache.size_max=3.5 GiB",
    "stores.backends.local.file_mode=0640",
    "stores.backends.web.ca_file=authorities.pem",
    "stores.backends.web.denied_networks=['10.0.0.0/8', 'fd00::/8']",
    "server.drain_s=0.25",
    "server.tls.certificate=certificate.pem",
    "server.tls.key=key.pem",
]


def assignment_of(config: Config) -> Assignment:
    return Assignment(
        worker=3, control=7, listeners=(5, 6), numbers_folder=Path("/numbers"), notices=8, ranges=9, config=config
    )


@pytest.mark.parametrize("overrides", [[], OVERRIDES], ids=["as delivered", "with secrets"])
def test_a_worker_gets_the_configuration_just_as_it_was_read(overrides: list[str]) -> None:
    told = assignment_of(load(ROOT / "config.yaml", overrides))
    with told.sealed() as fd:
        heard = Assignment.unseal(os.dup(fd))
    assert revealed(heard) == revealed(told)
    assert type(heard.config.cache.size_max) is type(told.config.cache.size_max)
    assert (PASSWORD in str(revealed(heard))) == bool(overrides)
    assert PASSWORD not in repr(heard)


def test_a_worker_gets_the_defaults_too() -> None:
    told = assignment_of(load(None))
    with told.sealed() as fd:
        heard = Assignment.unseal(os.dup(fd))
    assert revealed(heard) == revealed(told)


def revealed(value: object) -> object:
    """Everything in it, by type and value; secrets in plain."""
    if isinstance(value, BaseModel):
        return type(value).__name__, {name: revealed(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, SecretStr):
        return "secret", value.get_secret_value()
    if isinstance(value, dict):
        return {key: revealed(inner) for key, inner in value.items()}
    return type(value).__name__, value


@pytest.mark.parametrize(("workers", "share"), [(1, 64), (2, 32), (3, 22), (64, 1), (100, 1)])
def test_limits_for_all_are_divided_and_rounded_up(workers: int, share: int) -> None:
    config = Config()
    divided = share_of(config, workers)
    assert divided.cache.fills_max == share
    assert divided.model_copy(update={"cache": config.cache}) == config


def test_bandwidth_of_a_store_is_divided_too() -> None:
    config = load(ROOT / "config.yaml", ["stores.backends.local.guard.read_rate_max=1001"])
    guard = share_of(config, 2).stores.backends["local"].guard
    assert (guard.read_rate_max, guard.write_rate_max) == (501, None)


def test_zero_workers_are_one_per_core() -> None:
    assert workers_of(ServerConfig(workers=0)) == len(os.sched_getaffinity(0))
    assert workers_of(ServerConfig(workers=5)) == 5


@pytest.mark.parametrize("workers", ["-1", "129", "two"])
def test_a_number_of_workers_that_makes_no_sense_is_told(workers: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.workers: "):
        load(None, [f"server.workers={workers}"])


def test_a_worker_that_dies_young_again_and_again_comes_back_ever_later() -> None:
    assert restart_delay_s(0) == restart_delay_s(1) == 0
    for deaths, longest_s in [(2, 0.2), (3, 0.4), (4, 0.8), (7, 5), (1000, 5)]:
        delays = [restart_delay_s(deaths) for _ in range(50)]
        assert longest_s / 2 <= min(delays)
        assert max(delays) <= longest_s
        assert len(set(delays)) > 1
