"""What a store refused is known to all workers: retries reach it once in each back-off, whoever serves them.

So is which parts of an image were asked for.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.content import KIB, Noise
from tests.glint import Glint
from tests.origin import Fault, Gate, Origin

CONTENT = Noise(64 * KIB, seed=91)
WORKERS = 3
CLIENTS = 24
FIRST_SLOT_S = 0.1  # at the least, by the jitter; doubled with each further failure
HANGS_S = 3.0  # so long that a busy machine is no hanging store
_ENOUGH_S = 60.0
FAILURES_MAX = 6
_CIRCUIT = [f"circuit-{number}" for number in range(2 * FAILURES_MAX)]
_FOLLOWED = [f"followed-{kind}-{number}" for kind in ("500", "404", "hangs") for number in range(3)]
NAMES = ["storm-503", "storm-204", *_CIRCUIT, *_FOLLOWED, "denied-401", "denied-403", "back", "well", "parts"]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as serving:
        yield serving


@pytest.fixture(scope="module")
def glint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glint]:
    backends = {
        "web": {
            "kind": "http",
            "connect_s": 3,
            "first_byte_s": HANGS_S,
            "guard": {"circuit_failures_max": FAILURES_MAX},
        }
    }
    settings = {"server.workers": WORKERS, "stores": {"backends": backends}}
    with Glint(tmp_path_factory.mktemp("glint"), settings) as served:
        deadline_s = time.monotonic() + _ENOUGH_S
        while served.metrics().value("glint_workers") < WORKERS:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        yield served


@pytest.fixture(scope="module")
def images(glint: Glint, origin: Origin) -> Mapping[str, str]:
    """Registered while all is well: that asks the store as well."""
    for name in NAMES:
        origin.add(name, CONTENT)
    return {name: glint.register(origin.url(name), CONTENT) for name in NAMES}


@pytest.fixture(autouse=True)
def _closed_circuit(glint: Glint, images: Mapping[str, str]) -> None:
    """Whatever the test before has left."""
    deadline_s = time.monotonic() + _ENOUGH_S
    path, past_the_cache = f"/v2/images/{images['well']}/file", {"Cache-Control": "no-store"}
    while glint.request("GET", path, headers=past_the_cache).status != 200:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def status_of(glint: Glint, image_id: str) -> int:
    """On a connection of its own, which any worker may take."""
    return glint.get(f"/v2/images/{image_id}/file").status


def asked_at_s(origin: Origin, *names: str) -> list[float]:
    return sorted(one.at_s for name in names for one in origin.counts(name).requests if one.method == "GET")


def are_a_back_off_apart(at_s: Sequence[float], first_slot_s: float = FIRST_SLOT_S) -> bool:
    """Each slot is at least twice as long as the one before, up to half of their shortest limit."""
    gaps_s = [later - earlier for earlier, later in itertools.pairwise(at_s)]
    return all(gap_s >= min(first_slot_s * 2**slot, 2.5) for slot, gap_s in enumerate(gaps_s))


@pytest.mark.parametrize(
    ("fault", "status", "requests"), [(Fault(status=500), 503, 1000), (Fault(status=404), 204, 250)], ids=str
)
def test_a_storm_of_retries_is_one_request_in_each_back_off_over_all_workers(
    glint: Glint, origin: Origin, images: Mapping[str, str], fault: Fault, status: int, requests: int
) -> None:
    name = f"storm-{status}"
    image_id = images[name]
    origin.always(name, fault)

    with ThreadPoolExecutor(CLIENTS) as clients:
        statuses = list(clients.map(lambda _: status_of(glint, image_id), range(requests)))

    assert statuses == [status] * requests
    at_s = asked_at_s(origin, name)
    assert len(at_s) >= 2
    assert are_a_back_off_apart(at_s), at_s


def test_a_circuit_opens_after_so_many_failures_in_all_workers_together_and_for_all(
    glint: Glint, origin: Origin, images: Mapping[str, str]
) -> None:
    wanted = [images[name] for name in _CIRCUIT]
    for name in _CIRCUIT:
        origin.always(name, Fault(status=500))
    with ThreadPoolExecutor(CLIENTS) as clients:
        assert set(clients.map(lambda image_id: status_of(glint, image_id), wanted[:FAILURES_MAX])) == {503}
    assert glint.metrics().value("glint_store_circuit", store="web") == 2
    before = len(asked_at_s(origin, *_CIRCUIT))
    assert before == FAILURES_MAX

    with ThreadPoolExecutor(CLIENTS) as clients:
        statuses = set(clients.map(lambda number: status_of(glint, wanted[number % len(wanted)]), range(300)))

    assert statuses == {503}
    at_s = asked_at_s(origin, *_CIRCUIT)[before - 1 :]
    assert are_a_back_off_apart(at_s), at_s


@pytest.mark.parametrize(
    ("kind", "fault", "status"),
    [("500", {"status": 500}, 503), ("404", {"status": 404}, 204), ("hangs", {}, 503)],
    ids=["says 500", "has none", "hangs"],
)
def test_all_who_wait_in_any_worker_are_told_the_same_within_a_second(
    glint: Glint, origin: Origin, images: Mapping[str, str], kind: str, fault: dict[str, int], status: int
) -> None:
    """Of up to three images, since a machine that is busy may be late. A store that hangs is overdue after three."""
    took_s = []
    for number in range(3):
        name, gate = f"followed-{kind}-{number}", Gate()
        origin.always(name, Fault(gate=gate, **fault))  # type: ignore[arg-type]
        with ThreadPoolExecutor(CLIENTS) as clients:
            waiting = [clients.submit(_ended_s, glint, images[name], status) for _ in range(CLIENTS)]
            if fault:
                gate.wait_reached()
                time.sleep(0.2)
                gate.open()
            ends_s = [one.result() for one in waiting]
        gate.open()
        assert are_a_back_off_apart(asked_at_s(origin, name))
        took_s.append(max(ends_s) - min(ends_s))
        if took_s[-1] <= 1:
            return
    pytest.fail(f"{took_s}")


def _ended_s(glint: Glint, image_id: str, status: int) -> float:
    assert status_of(glint, image_id) == status
    return time.monotonic()


@pytest.mark.parametrize("refused", [401, 403])
def test_what_a_store_denies_is_asked_for_by_each_anew(
    glint: Glint, origin: Origin, images: Mapping[str, str], refused: int
) -> None:
    name = f"denied-{refused}"
    origin.always(name, Fault(status=refused))
    for asked in range(1, 2 * WORKERS + 1):
        assert status_of(glint, images[name]) == 503
        assert origin.counts(name).gets == asked
    origin.always(name, Fault())
    assert status_of(glint, images[name]) == 200


def test_a_store_that_is_well_again_is_asked_when_the_back_off_is_over(
    glint: Glint, origin: Origin, images: Mapping[str, str]
) -> None:
    origin.always("back", Fault(status=502))
    for _ in range(2 * WORKERS):
        assert status_of(glint, images["back"]) == 503
    origin.always("back", Fault())
    deadline_s = time.monotonic() + _ENOUGH_S
    while status_of(glint, images["back"]) != 200:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_a_quarter_of_an_image_asked_of_all_workers_together_starts_one_fill(
    glint: Glint, images: Mapping[str, str]
) -> None:
    """Of three workers hardly one serves all sixteen parts, each on a connection of its own."""

    def ask(part: int) -> None:
        wanted = {"Range": f"bytes={part * KIB}-{(part + 1) * KIB - 1}"}
        answer = glint.request("GET", f"/v2/images/{images['parts']}/file", headers=wanted)
        assert (answer.status, answer.content) == (206, CONTENT.read(part * KIB, (part + 1) * KIB))

    def state() -> str:
        return str(glint.get(f"/v2/cache/{images['parts']}").json["state"])

    for part in range(1, 16):
        ask(part)
    assert state() == "absent"
    ask(16)
    deadline_s = time.monotonic() + _ENOUGH_S
    while state() != "cached":
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
