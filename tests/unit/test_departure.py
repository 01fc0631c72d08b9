"""A process whose requests have ended ends, whoever keeps a thread of it."""

from tests.preloaded import run_program

_PROGRAM = """
import asyncio, time
from concurrent.futures import ThreadPoolExecutor
from proxy import departure

departure._STUCK_S = 0.1

async def main(fate):
    began_s = time.monotonic()
    threads = ThreadPoolExecutor(1)
    if fate == "stuck":
        threads.submit(time.sleep, 600)
    async with departure.unhindered(lambda: time.monotonic() - began_s if fate == "stuck" else 0.0):
        if fate == "failed":
            raise SystemExit(3)

asyncio.run(main(FATE))
print("closed")
"""


def test_a_thread_that_the_disk_keeps_does_not_keep_a_process_from_its_end() -> None:
    ended = run_program(_PROGRAM.replace("FATE", '"stuck"'))
    assert ended.returncode == 0
    assert "server.left" in ended.stdout


def test_a_process_that_nothing_keeps_closes_all_and_ends_as_it_would() -> None:
    ended = run_program(_PROGRAM.replace("FATE", '"well"'))
    assert (ended.returncode, ended.stdout.split()[-1:]) == (0, ["closed"])
    assert run_program(_PROGRAM.replace("FATE", '"failed"')).returncode == 3
