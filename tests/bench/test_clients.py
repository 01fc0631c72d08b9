"""Client processes get what they ask for, and say so when they do not."""

import pytest

from bench.connection import digest_of
from bench.load import Downloads, Outcome, Ranges, Requests, SlowDownloads
from bench.loading import Clients
from tests.content import KIB, MIB, Content, Fixed, Noise
from tests.origin import Fault, Gate, Origin


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (Fault(cut_at=MIB), "before the end"),
        (Fault(length_off=-1), "instead of 200"),
        (Fault(status=503), "status 503"),
        (Fault(refuse=True), "reset"),
    ],
    ids=str,
)
def test_a_client_that_does_not_get_the_whole_body_says_so(fault: Fault, complaint: str) -> None:
    with Origin() as origin:
        content = origin.add("image", Noise(2 * MIB))
        origin.script("image", fault)
        job = Downloads(host=origin.host, port=origin.port, path="/image", size_bytes=content.size_bytes, clients=2)
        with Clients([job]) as clients:
            outcome = clients.run()

    assert outcome.bodies == 1
    [error] = outcome.errors
    assert complaint in error.lower()


def test_digests_are_those_of_the_bytes_also_over_one_connection_again_and_again() -> None:
    with Origin() as origin:
        content = origin.add("image", Noise(3 * MIB + 1))
        told: list[int] = []
        job = Downloads(
            host=origin.host,
            port=origin.port,
            path="/image",
            size_bytes=content.size_bytes,
            clients=2,
            times=3,
            digest="sha512",
            told_s=1e-9,
        )
        with Clients([job, job]) as clients:
            outcome = clients.run(lambda _, body_bytes: told.append(body_bytes))
        assert origin.counts("image").gets == 12

    assert outcome.digests == [content.digest()] * 12
    assert outcome.body_bytes == 12 * content.size_bytes
    assert len(outcome.waits_s) == 12
    assert max(told) <= 6 * content.size_bytes


def test_small_requests_go_on_over_a_connection_that_the_server_closes() -> None:
    with Origin() as origin:
        origin.add("answer", Fixed(b'{"id": 1}'))
        origin.always("answer", Fault(headers={"Connection": "close"}))
        origin.script("answer", *[Fault(headers={"Connection": "close"})] * 5, Fault(status=503))  # which ends it
        job = Requests(host=origin.host, port=origin.port, path="/answer", clients=2, seconds=60)
        with Clients([job]) as clients:
            outcome = clients.run()

    assert outcome.bodies >= 4  # the last one's answer may come after the other client's end
    assert outcome.errors == ["status 503, or another answer than before"]
    assert outcome.sample in ('{"id": 1}', "")


def test_requests_at_a_pace_leave_a_pause_after_each_answer() -> None:
    with Origin() as origin:
        origin.add("answer", Fixed(b"{}"))
        origin.script("answer", *[Fault()] * 8, Fault(status=503))  # which ends it
        job = Requests(host=origin.host, port=origin.port, path="/answer", clients=2, seconds=60, pause_s=0.1)
        with Clients([job]) as clients:
            outcome = clients.run()

    assert outcome.errors == ["status 503, or another answer than before"]
    assert 7 <= outcome.bodies <= 2 * (1 + outcome.seconds / 0.1)


def test_a_changed_answer_ends_the_counting_of_requests() -> None:
    with Origin() as origin:
        origin.add("answer", Fixed(b"right"))
        origin.script("answer", Fault(), Fault(), Fault(flip_at=1))
        job = Requests(host=origin.host, port=origin.port, path="/answer", seconds=30)
        with Clients([job]) as clients:
            outcome = clients.run()

    assert outcome.bodies == 2
    assert len(outcome.errors) == 1


def test_random_parts_are_the_same_for_who_asks_and_for_who_compares() -> None:
    parts = Ranges(length_min_bytes=1, length_max_bytes=100 * KIB, seed=7)
    with Origin() as origin:
        content = origin.add("image", Noise(MIB))
        job = Downloads(
            host=origin.host,
            port=origin.port,
            path="/image",
            size_bytes=MIB,
            clients=2,
            times=5,
            ranges=parts,
            digest="xxh3_128",
        )
        with Clients([job]) as clients:
            outcome = clients.run()
        asked = sorted(origin.counts("image").ranges, key=str)

    spans = [parts.spans(client, 5, MIB) for client in range(2)]
    assert asked == sorted(f"bytes={start}-{stop - 1}" for client in spans for start, stop in client)
    expected = []
    for client in spans:
        digest = digest_of("xxh3_128")
        for start, stop in client:
            digest.update(memoryview(content.read(start, stop)))
        expected.append(digest.hexdigest())
    assert sorted(outcome.digests) == sorted(expected)
    assert outcome.bodies == len(outcome.waits_s) == 10


def slowly(origin: Origin, content: Content, *, clients: int, rate_bytes_s: int, apart_bytes: int = 0) -> Outcome:
    """What clients have who read the first 100 KiB each of what they ask for."""
    job = SlowDownloads(
        host=origin.host,
        port=origin.port,
        path="/image",
        size_bytes=content.size_bytes,
        stop_bytes=100 * KIB,
        rate_bytes_s=rate_bytes_s,
        apart_bytes=apart_bytes,
        clients=clients,
    )
    with Clients([job]) as processes:
        return processes.run()


def digests_of_parts(content: Content, *starts: int) -> list[str]:
    found = []
    for start in starts:
        digest = digest_of("xxh3_128")
        digest.update(memoryview(content.read(start, start + 100 * KIB)))
        found.append(digest.hexdigest())
    return found


def test_slow_clients_read_no_faster_than_they_are_told_and_leave_in_mid_body() -> None:
    with Origin() as origin:
        content = origin.add("image", Noise(2 * MIB))
        outcome = slowly(origin, content, rate_bytes_s=500 * KIB, clients=3)

    assert outcome.digests == digests_of_parts(content, 0, 0, 0)
    assert outcome.seconds > 0.19
    assert len(outcome.waits_s) == 3


def test_slow_clients_read_parts_that_lie_apart() -> None:
    with Origin() as origin:
        content = origin.add("image", Noise(2 * MIB))
        outcome = slowly(origin, content, rate_bytes_s=1000 * KIB, apart_bytes=MIB, clients=2)

    assert outcome.digests == digests_of_parts(content, 0, MIB)


def test_who_waits_for_a_first_byte_when_the_time_is_over_is_counted_with_the_time_so_far() -> None:
    with Origin() as origin:
        content = origin.add("image", Noise(MIB))
        origin.script("image", Fault(gate=Gate()))
        job = Downloads(
            host=origin.host,
            port=origin.port,
            path="/image",
            size_bytes=content.size_bytes,
            clients=2,
            seconds=2,
        )
        with Clients([job]) as clients:
            outcome = clients.run()

    assert not outcome.errors
    assert outcome.unanswered >= 1
    # The wait began when it was asked, a moment after the run did, and ended with it.
    assert outcome.seconds / 2 < max(outcome.waits_s) < outcome.seconds
    assert outcome.bodies > 1


def test_downloads_go_on_over_new_connections_where_the_server_closes() -> None:
    with Origin() as origin:
        content = origin.add("image", Noise(MIB))
        origin.always("image", Fault(headers={"Connection": "close"}, framing="length"))
        job = Downloads(
            host=origin.host,
            port=origin.port,
            path="/image",
            size_bytes=content.size_bytes,
            times=3,
            digest="sha256",
        )
        with Clients([job]) as clients:
            outcome = clients.run()

    assert not outcome.errors
    assert outcome.digests == [content.digest("sha256")] * 3
