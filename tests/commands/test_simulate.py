"""`glint cache simulate` on logs: Glint's own, and tables."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app
from tests.commands.conftest import World
from tests.origin import MIB

GIB = 1024 * MIB
DAY_S = 86400


def simulate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["cache", "simulate", *map(str, arguments)])


def documents(*arguments: str | Path) -> list[dict[str, Any]]:
    result = simulate(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def event(key: str, at_s: int, **fields: Any) -> str:
    at = f"2026-11-{1 + at_s // DAY_S:02}T00:00:{at_s % DAY_S:02}.000000Z"
    return json.dumps({"event": "download.finished", "key": key, "timestamp": at, "duration_s": 0.5, **fields})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two images are asked for again and again, on another day six others once; half of all fits in."""
    hot = [f"hot-{n},{GIB},{day * DAY_S + n}" for day in range(3) for n in range(2)]
    cold = [f"cold-{n},{GIB},{3 * DAY_S + n}" for n in range(6)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["key,size,time", *hot, *cold, *(f"hot-{n},{GIB},{4 * DAY_S}" for n in range(2))]))
    return path


def test_policies_are_compared(table: Path) -> None:
    slru, lru = documents(table, "--size-max", "4.5 GiB")
    assert (slru["policy"], lru["policy"]) == ("slru", "lru")
    assert slru["requests"] == lru["requests"] == 14
    assert (slru["hits"], lru["hits"]) == (6, 4)
    assert (slru["store_bytes"], lru["store_bytes"]) == (8 * GIB, 10 * GIB)
    assert slru["byte_hit_ratio"] == pytest.approx(6 / 14, abs=1e-6)
    assert (slru["evictions"], lru["evictions"]) == (4, 6)


def test_people_get_a_table_and_a_warning_where_images_go_within_a_day(table: Path) -> None:
    result = simulate(table, "--size-max", "4.5 GiB", "--size-max", "20 GiB", "--policy", "slru")
    head, small, large = result.stdout.splitlines()
    assert head == "POLICY      SIZE  REQUESTS   HITS  BYTE HITS  FROM STORES  EVICTIONS  EVICTION AGE"
    assert small == "slru    4.50 GiB        14  42.9%      42.9%     8.00 GiB          4           2 s"
    assert large == "slru    20.0 GiB        14  42.9%      42.9%     8.00 GiB          0             -"
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("glint: 4.50 GiB is small for these downloads: with slru")


def test_the_log_of_a_running_glint_is_understood(world: World, tmp_path: Path) -> None:
    image = world.image()
    for _ in range(3):
        world.glint.get(f"/v2/images/{image.id}/file")
        world.settle()
    deadline_s = time.monotonic() + 30
    while (log := of_image(world.glint.log, image.id)).count("download.finished") < 3:  # a moment after its last byte
        assert time.monotonic() < deadline_s, log
        time.sleep(0.02)
    path = tmp_path / "glint.log"
    path.write_text(log)
    (told,) = documents(path, "--policy", "lru")
    assert (told["requests"], told["sent_bytes"], told["store_bytes"]) == (3, 3 * MIB, MIB)
    assert told["hits"] == 2


def of_image(log: str, image_id: str) -> str:
    return "".join(line for line in log.splitlines(keepends=True) if image_id in line)


def test_a_size_that_was_not_logged_is_known_from_other_lines(tmp_path: Path) -> None:
    """Packed, with the marks of a journal, and with a line that was cut off."""
    lines = [
        event("a", 1, sent_bytes=100),
        f"Nov 01 00:00:02 host glint[7]: {event('a', 2, sent_bytes=900, size_bytes=1000)}",
        event("a", 3, sent_bytes=1000, size_bytes=None),
        event("b", 4, sent_bytes=500)[:-9],
        '{"event": "download.cut", "key": "a"}',
        "Traceback, with a comma, or two",
    ]
    path = tmp_path / "glint.log.1.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    (told,) = documents(path, "--policy", "slru", "--size-max", "1 MiB", "--set", "cache.range_fill_percent=50")
    assert (told["requests"], told["hits"], told["store_bytes"], told["hit_bytes"]) == (3, 1, 1100, 1000)


def test_a_table_without_times_is_played_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,600\nb/with:strange*name,600\na,600\na,600\n")
    (told,) = documents(path, "--size-max", "1000 B", "--policy", "lru")
    assert (told["hits"], told["evictions"], told["eviction_age_s"]) == (1, 2, None)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--size-max", "lots"], 2, "expected a size such as"),
        (["--policy", "fifo"], 2, "expected one of slru, lru"),
        ([], 1, "no download in there; expected a log of Glint with logging.format json"),
    ],
)
def test_what_cannot_be_played_is_told(tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    path = tmp_path / "empty.log"
    path.write_text('{"event": "cache.opened"}\n')
    result = simulate(path, *arguments)
    assert result.exit_code == status
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_a_packed_log_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "glint.log.gz"
    path.write_bytes(b"not packed")
    result = simulate(path)
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
