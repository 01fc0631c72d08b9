"""What the log must not tell. In a process of its own, because logging is set up for a whole process."""

import pytest

from tests.preloaded import run_program

_PROGRAM = """
import logging, sys, structlog
from proxy.config import LoggingConfig
from proxy.logs import configure_logging

configure_logging(LoggingConfig(format=sys.argv[1]))

def handle(token):
    raise KeyError("what was not expected")

for tell in (structlog.get_logger().error, logging.getLogger("aiohttp.server").error):
    try:
        handle("".join(["hun", "ter2"]))
    except KeyError as error:
        tell("request.failed", exc_info=error)
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_tells_where_it_was_but_no_values_of_variables(form: str) -> None:
    done = run_program(_PROGRAM, form)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("what was not expected") >= 2
    assert "handle" in done.stderr
    assert "hunter2" not in done.stderr


_MALFORMED = """
import asyncio
from aiohttp import web
from proxy.config import LoggingConfig
from proxy.logs import configure_logging

async def main():
    configure_logging(LoggingConfig())
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(b"GET / HTTP/1.1\\r\\nX-Auth-Token: hunter2\\x01\\r\\n\\r\\n")
    assert b"400" in await reader.readline()
    writer.close()
    await runner.cleanup()

asyncio.run(main())
"""


def test_a_request_that_cannot_be_read_is_one_line_without_its_headers() -> None:
    done = run_program(_MALFORMED)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "request.unreadable" in done.stderr
    assert "hunter2" not in done.stderr


_OF_A_REQUEST = """
import asyncio, sys, structlog
from proxy.config import LoggingConfig
from proxy.logs import configure_logging, log_with

configure_logging(LoggingConfig(format=sys.argv[1]))
log = structlog.get_logger()

async def request(name):
    log_with({"request_id": name})
    log_with({"request_id": name, "user_id": "ann"})
    await asyncio.sleep(0)
    log.info("request.finished", status=200)
    await asyncio.create_task(work())

async def work():
    log.info("work.done")

async def main():
    await asyncio.gather(request("req-1"), request("req-2"))
    log.info("server.stopped")

asyncio.run(main())
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_events_name_their_own_request_also_in_the_tasks_that_it_starts(form: str) -> None:
    done = run_program(_OF_A_REQUEST, form)
    assert done.returncode == 0, done.stderr
    *told, last = done.stderr.splitlines()
    assert len(told) == 4
    for name in ("req-1", "req-2"):
        finished, worked = [line for line in told if name in line]
        assert "request.finished" in finished
        assert "200" in finished
        assert "work.done" in worked
        assert all("ann" in line and line.count("request_id") == 1 for line in (finished, worked))
    assert "server.stopped" in last
    assert "req" not in last


_FULL = """
import os, sys, structlog
from proxy.config import LoggingConfig
from proxy.logs import configure_logging

log = os.dup(2)
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
configure_logging(LoggingConfig(format=sys.argv[1]))
tell = structlog.get_logger().info
for number in range(1000):  # more than a buffer holds
    tell("nobody.reads", number=number)
os.dup2(log, 2)
tell("first.again")
tell("second.again")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_log_that_takes_no_line_stops_nobody_and_what_was_lost_is_told(form: str) -> None:
    done = run_program(_FULL, form)
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()[-2:]
    assert "first.again" in first
    assert "lines_lost" in first
    assert "1000" in first
    assert "second.again" in second
    assert "lines_lost" not in second
