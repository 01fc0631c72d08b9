"""A database server that is killed in the middle of writes: 503 meanwhile, nothing half done, and well by itself."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.fault.load import Balancer, Client, left_wrong, under_load
from tests.glint import Glint
from tests.peers import MariaDB, PostgreSQL
from tests.takeover.service import wait_until

_SERVERS: Mapping[str, Callable[[Path], PostgreSQL | MariaDB]] = {
    "postgresql": PostgreSQL,
    "mariadb": lambda folder: MariaDB(folder, database="glance", charset="utf8mb3"),
}


def tally(clients: list[Client]) -> Mapping[str, int]:
    return {
        "refused": sum(client.refused for client in clients),
        "done": sum(client.done.total() for client in clients),
    }


def stored_in(glint: Glint) -> set[str]:
    return {path.name for path in (glint.directory / "images").iterdir()}


def with_data(glint: Glint) -> set[str]:
    shown = glint.get("/v2/images?limit=1000&status=active").json["images"]
    return {image["id"] for image in shown}


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        pytest.param("postgresql", 1, id="postgresql once"),
        pytest.param("postgresql", 20, id="postgresql twenty times", marks=pytest.mark.long),
        pytest.param("mariadb", 10, id="mariadb ten times", marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(600)
def test_what_a_killed_database_had_acknowledged_stays_and_the_rest_is_whole_or_not_there(
    tmp_path: Path, kind: str, kills: int
) -> None:
    """SIGKILL to the server and all its processes, while six clients write."""
    with _SERVERS[kind](tmp_path / "db") as database:
        settings = {
            "registry.url": database.url,
            "registry.connect_s": 2,
            "api.require_image_format_match": False,
            "logging.level": "info",
        }
        with Glint(tmp_path / "glint", settings) as glint:
            clients = [Client(number, Balancer([glint]), may_be_refused=True) for number in range(6)]
            pid = glint.pid
            with under_load(clients):
                for _ in range(kills):
                    before = tally(clients)
                    wait_until(lambda: tally(clients)["done"] > before["done"] + 100)  # noqa: B023
                    database.kill()
                    wait_until(lambda: tally(clients)["refused"] > before["refused"] + 20)  # noqa: B023
                    database.start()
            assert [text for client in clients for text in client.failures] == []
            wait_until(lambda: left_wrong(clients, glint) == [])
            assert glint.pid == pid
            assert '"request.failed"' not in glint.log
            wait_until(lambda: stored_in(glint) == with_data(glint))
