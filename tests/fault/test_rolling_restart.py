"""Two Glints on one PostgreSQL and one file store, restarted in turn while clients work: nobody notices."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.fault.load import Balancer, Client, left_wrong, under_load
from tests.glint import Glint
from tests.peers import PostgreSQL
from tests.takeover.service import wait_until

# Of which a balancer that looks every 50 ms hears in time, also on a busy machine.
NOTICE_S = 2.0


def settings_of(folder: Path, postgresql: PostgreSQL) -> dict[str, Any]:
    return {
        "registry.url": postgresql.url,
        "stores.backends.local": {"kind": "file", "dir": str(folder / "images")},
        "api.staging_dir": str(folder / "staging"),
        "api.require_image_format_match": False,
        "server.drain_notice_s": NOTICE_S,
        "server.drain_s": 30,
        "logging.level": "info",
    }


@pytest.mark.parametrize(
    ("rounds", "workers"),
    [
        pytest.param(1, 1, id="once"),
        pytest.param(10, 1, id="ten times", marks=pytest.mark.long),
        pytest.param(5, 2, id="with two workers", marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(600)
def test_a_rolling_restart_fails_no_request_and_loses_no_write(tmp_path: Path, rounds: int, workers: int) -> None:
    """Uploads and downloads that run are finished, what is acknowledged stays, and no client ever asks twice."""
    with PostgreSQL(tmp_path / "postgresql") as postgresql:
        settings = settings_of(tmp_path, postgresql) | {"server.workers": workers}
        with (
            Glint(tmp_path / "one", settings, stop_s=60) as one,
            Glint(tmp_path / "two", settings, stop_s=60) as two,
        ):
            balancer = Balancer([one, two])
            clients = [Client(number, balancer, may_be_refused=False) for number in range(4)]
            with balancer.running(), under_load(clients):
                for glint in (one, two) * rounds:
                    glint.stop()
                    glint.start()
                    wait_until(lambda glint=glint: balancer.is_healthy(glint))  # type: ignore[misc]
            done = sum((client.done for client in clients), start=Counter[str]())
            assert [text for client in clients for text in client.failures] == []
            assert left_wrong(clients, one) == []
            assert left_wrong(clients, two) == []
            for glint in (one, two):
                glint.kill()  # there is nobody left to be told of it
            for kind in ("create", "patch", "show", "upload", "upload slowly", "download", "download slowly"):
                assert done[kind], f"there was no {kind} among {done}"
            for number in (0, 1):
                assert sum(client.by_glint[number] for client in clients), f"nobody asked Glint {number}"
