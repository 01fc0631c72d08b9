"""When a store is asked, and when not: the circuit's states."""

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from upstream.stores.guard.circuit import Admission, Circuit, Refusal, State
from upstream.stores.guard.row import Row
from upstream.stores.notices import Notices

WINDOW_S, OPEN_MAX_S = 30.0, 10.0


_NOTICES, _NUMBERS = Notices(), count()


def circuit(failures_max: int | None = 3, name: str | None = None, notices: Notices = _NOTICES) -> Circuit:
    """Of one name are those that stand for one, in several workers."""
    row = Row(notices, failures_max or 0, name or next(_NUMBERS))
    return Circuit(row, failures_max=failures_max, window_s=WINDOW_S, open_max_s=OPEN_MAX_S, jitter=lambda: 0.0)


def admitted(circuit: Circuit, now_s: float, *, insist: bool = False) -> Admission:
    answer = circuit.admit(now_s, insist=insist)
    assert isinstance(answer, Admission)
    return answer


def refused_s(circuit: Circuit, now_s: float, *, insist: bool = False) -> float:
    answer = circuit.admit(now_s, insist=insist)
    assert isinstance(answer, Refusal)
    return answer.retry_after_s


def fail(circuit: Circuit, now_s: float, *places: str) -> None:
    for place in places:
        circuit.failed(admitted(circuit, now_s), now_s, place)


def state(circuit: Circuit) -> State:
    """Read anew each time: the type checker takes what it saw once for settled."""
    return circuit.state


def opened(now_s: float = 0.0) -> Circuit:
    one = circuit()
    fail(one, now_s, "a", "b", "c")
    assert state(one) is State.OPEN
    return one


def test_it_opens_after_so_many_failures_in_a_row_and_says_for_how_long() -> None:
    one = circuit()
    fail(one, 0.0, "a", "b")
    assert state(one) is State.CLOSED

    fail(one, 0.0, "a")

    assert state(one) is State.OPEN
    assert refused_s(one, 0.0) == 0.2


def test_a_success_between_failures_keeps_it_closed() -> None:
    one = circuit()
    for _ in range(10):
        fail(one, 0.0, "a", "b")
        one.succeeded(admitted(one, 0.0))

    assert state(one) is State.CLOSED


def test_failures_that_lie_far_apart_keep_it_closed() -> None:
    one = circuit()
    for turn in range(10):
        fail(one, turn * (WINDOW_S / 2 + 1), f"place {turn}")

    assert state(one) is State.CLOSED


def test_one_object_that_always_fails_is_no_store_that_fails() -> None:
    one = circuit()
    fail(one, 0.0, *["a"] * 100)
    assert state(one) is State.CLOSED

    fail(one, 0.0, "b")

    assert state(one) is State.OPEN


def test_failures_in_several_workers_are_one_row_which_a_success_in_any_breaks() -> None:
    workers = [circuit(4, "one") for _ in range(3)]
    fail(workers[0], 0.0, "a", "b")
    fail(workers[1], 1.0, "a")
    workers[2].succeeded(admitted(workers[2], 2.0))
    for number, one in enumerate(workers):
        fail(one, 3.0, f"place {number}")
    assert [state(one) for one in workers] == [State.CLOSED] * 3

    fail(workers[0], 4.0, "a")

    assert [state(one) for one in workers] == [State.OPEN, State.CLOSED, State.CLOSED]
    fail(workers[1], 5.0, "a", "b", "c")
    assert state(workers[1]) is State.CLOSED


def test_without_a_limit_it_never_opens() -> None:
    one = circuit(failures_max=None)
    fail(one, 0.0, *map(str, range(1000)))

    assert state(one) is State.CLOSED


def test_when_the_back_off_is_over_one_request_is_let_through() -> None:
    one = opened()

    probe = admitted(one, 0.2)

    assert probe.is_probe
    assert state(one) is State.HALF_OPEN
    assert [refused_s(one, now_s) for now_s in (0.2, 5.0)] == [0.2, 0.2]


def test_a_probe_that_succeeds_closes_it() -> None:
    one = opened()
    one.succeeded(admitted(one, 0.2))

    assert state(one) is State.CLOSED
    assert not admitted(one, 0.2).is_probe


def test_each_probe_that_fails_doubles_the_back_off_up_to_the_limit() -> None:
    one, now_s, waits_s = opened(), 0.0, []
    for _ in range(8):
        waits_s.append(refused_s(one, now_s))
        now_s += waits_s[-1]
        one.failed(admitted(one, now_s), now_s, "a")

    assert [round(wait_s, 6) for wait_s in waits_s] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_what_the_store_itself_asks_for_is_waited_within_the_limit() -> None:
    one = circuit(failures_max=1)
    one.failed(admitted(one, 0.0), 0.0, "a", retry_after_s=7.0)
    assert refused_s(one, 0.0) == 7.0

    other = circuit(failures_max=1)
    other.failed(admitted(other, 0.0), 0.0, "a", retry_after_s=3600.0)
    assert refused_s(other, 0.0) == 10.0


def test_a_probe_that_is_given_up_leaves_its_place_to_the_next() -> None:
    one = opened()
    one.given_up(admitted(one, 0.2))

    assert state(one) is State.OPEN
    assert admitted(one, 0.2).is_probe


def test_who_reads_on_may_probe_early_once_in_each_back_off() -> None:
    one = opened()
    early = admitted(one, 0.1, insist=True)
    assert early.is_probe
    one.given_up(early)
    assert refused_s(one, 0.1, insist=True) == 0.1

    one.failed(admitted(one, 0.2), 0.2, "a")

    assert admitted(one, 0.3, insist=True).is_probe


def test_what_was_asked_before_it_opened_neither_closes_it_nor_prolongs_it() -> None:
    one = circuit()
    before = [admitted(one, 0.0) for _ in range(10)]
    fail(one, 0.0, "a", "b", "c")

    one.succeeded(before[0])
    for late in before[1:]:
        one.failed(late, 0.1, "d")

    assert state(one) is State.OPEN
    assert admitted(one, 0.2).is_probe


def test_looking_changes_nothing() -> None:
    one = opened()

    assert one.refusal(0.1) == Refusal(0.1)
    assert [one.refusal(0.2), one.refusal(0.2), one.refusal(0.1, insist=True)] == [None, None, None]

    assert state(one) is State.OPEN


class Asking(RuleBasedStateMachine):
    """Whatever happens: one probe at a time, one per back-off and one early one, and always a way back."""

    def __init__(self) -> None:
        super().__init__()
        self.notices = Notices()
        self.circuit, self.now_s = circuit(notices=self.notices), 0.0
        self.running: list[Admission] = []
        self.opened_s, self.until_s = 0.0, 0.0
        self.early = 0

    @rule(seconds=st.floats(0, 20))
    def time_goes_on(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(insist=st.booleans())
    def somebody_asks(self, insist: bool) -> None:
        before = self.circuit.state
        answer = self.circuit.admit(self.now_s, insist=insist)
        if isinstance(answer, Refusal):
            assert before is not State.CLOSED
            assert answer.retry_after_s > 0
            return
        if before is State.OPEN and self.now_s < self.until_s:
            assert insist
            self.early += 1
        assert answer.is_probe is (before is State.OPEN)
        self.running.append(answer)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "given up"]), place=st.sampled_from("abc"))
    def one_ends(self, data: st.DataObject, how: str, place: str) -> None:
        admission = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        period = self.circuit._period
        if how == "succeeded":
            self.circuit.succeeded(admission)
        elif how == "failed":
            self.circuit.failed(admission, self.now_s, place)
        else:
            self.circuit.given_up(admission)
        if self.circuit._period != period and self.circuit.state is State.OPEN:
            refusal = self.circuit.refusal(self.now_s)
            assert refusal is not None
            assert 0.1 <= refusal.retry_after_s <= OPEN_MAX_S
            self.until_s, self.early = self.now_s + refusal.retry_after_s, 0

    def teardown(self) -> None:
        self.notices.close()

    @invariant()
    def one_probe_at_a_time(self) -> None:
        probes = [one for one in self.running if one.is_probe and one.period == self.circuit._period]
        assert len(probes) == (self.circuit.state is State.HALF_OPEN)
        assert self.early <= 1

    @invariant()
    def there_is_a_way_back(self) -> None:
        if self.circuit.state is State.OPEN:
            assert self.circuit.refusal(self.now_s + OPEN_MAX_S) is None


TestAsking = Asking.TestCase
TestAsking.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
