import errno
import sqlite3

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cache.health import DiskHealth, DiskState, is_disk_fault, may_pass

HALF_HOUR_S = 1800.0


def unstable(at_s: float = 0.0) -> DiskHealth:
    health = DiskHealth()
    health.hung(at_s)
    return health


@pytest.mark.parametrize(
    "number",
    [errno.EIO, errno.EROFS, errno.ENXIO, errno.ENODEV, errno.EUCLEAN, errno.EREMOTEIO, errno.ETIMEDOUT, errno.ESTALE],
)
def test_a_disk_that_cannot_work_is_at_fault(number: int) -> None:
    assert is_disk_fault(OSError(number, "refused"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.EACCES, errno.EMFILE, errno.EINVAL])
def test_a_disk_that_says_no_is_not_at_fault(number: int) -> None:
    assert not is_disk_fault(OSError(number, "refused"))


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "refused") for number in (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOSPC, errno.EDQUOT)),
        sqlite3.OperationalError("database is locked"),
        sqlite3.DatabaseError("file is not a database"),
    ],
    ids=repr,
)
def test_what_keeps_a_folder_from_being_opened_passes_if_it_is_the_disks(error: OSError | sqlite3.Error) -> None:
    assert may_pass(error)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT, errno.ELOOP, errno.EMFILE])
def test_what_an_operator_has_to_put_right_does_not_pass(number: int) -> None:
    assert not may_pass(OSError(number, "refused"))


def test_a_folder_that_opens_proves_its_disk_at_once() -> None:
    health = DiskHealth()
    for at_s in range(5):
        health.failed(at_s)
        health.unopened(at_s)
    assert health.state is DiskState.UNSTABLE
    health.opened()
    assert health.is_usable
    health.failed(6.0)
    health.failed(7.0)
    assert health.is_usable, "faults of before count no more"


def test_a_folder_that_is_not_open_is_not_probed_and_makes_a_disk_down_in_time() -> None:
    health = DiskHealth()
    health.unopened(0.0)
    for _ in range(100):
        health.succeeded(120.0)
    assert not health.is_usable, "that a part of the opening works says nothing"
    assert not health.may_probe(120.0)
    health.unopened(HALF_HOUR_S)
    assert health.state is DiskState.DOWN


def test_a_time_out_without_a_number_is_a_fault() -> None:
    assert is_disk_fault(TimeoutError("no answer"))


@pytest.mark.parametrize(
    ("faults_s", "state"),
    [
        ([0.0, 1.0], DiskState.HEALTHY),
        ([0.0, 30.0, 60.0], DiskState.UNSTABLE),
        ([0.0, 30.0, 60.1], DiskState.HEALTHY),
        ([0.0, 30.0, 60.1, 90.0], DiskState.UNSTABLE),
    ],
)
def test_three_faults_in_a_minute_make_a_disk_unstable(faults_s: list[float], state: DiskState) -> None:
    health = DiskHealth()
    for at_s in faults_s:
        health.succeeded(at_s)  # what goes well in between changes nothing
        health.failed(at_s)
    assert health.state is state
    assert health.is_usable == (state is DiskState.HEALTHY)


def test_one_operation_that_hangs_is_enough() -> None:
    assert unstable().state is DiskState.UNSTABLE


def test_ten_clean_probes_of_six_operations_bring_a_disk_back() -> None:
    health, now_s, probes = unstable(), 0.0, 0
    while not health.is_usable:
        if health.may_probe(now_s):
            health.probed(now_s)
            probes += 1
            for _ in range(6):
                health.succeeded(now_s)
        now_s += 1.0
    assert (probes, now_s) == (11, 61.0)  # the eleventh proves the full minute


def test_sixty_clean_operations_of_one_good_second_do_not_bring_it_back() -> None:
    health = unstable()
    for _ in range(1000):
        health.succeeded(59.9)
    assert not health.is_usable
    health.succeeded(60.0)
    assert health.is_usable


def test_a_fault_starts_the_proof_anew() -> None:
    health = unstable()
    for _ in range(59):
        health.succeeded(70.0)
    health.failed(70.0)
    for _ in range(59):
        health.succeeded(130.0)
    assert not health.is_usable
    health.succeeded(130.0)
    assert health.is_usable


def test_old_faults_are_forgotten_by_a_disk_that_came_back() -> None:
    health = unstable()
    for _ in range(60):
        health.succeeded(60.0)
    health.failed(60.0)
    health.failed(60.0)
    assert health.is_usable


def test_half_an_hour_of_trouble_is_down_and_asked_once_a_minute() -> None:
    health, states = unstable(), []
    for now_s in (HALF_HOUR_S - 1, HALF_HOUR_S):
        health.pass_time(now_s)
        states.append(health.state)
    assert states == [DiskState.UNSTABLE, DiskState.DOWN]

    probes = 0
    for second in range(600):
        now_s = HALF_HOUR_S + second
        if health.may_probe(now_s):
            health.probed(now_s)
            health.failed(now_s)
            probes += 1
    assert probes == 10
    assert health.state is DiskState.DOWN


def test_a_disk_that_is_down_can_come_back() -> None:
    health = unstable()
    health.pass_time(HALF_HOUR_S)
    for minute in range(10):
        for _ in range(6):
            health.succeeded(HALF_HOUR_S + 60 * minute)
    assert health.is_usable


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.health = DiskHealth()
        self.now_s = 0.0
        self.faults_s: list[float] = []
        self.probes_s: list[float] = []
        self.clean = 0  # operations since the last fault
        self.left_s: float | None = None  # when the disk was taken out of service
        self.is_open = True

    @rule(pause_s=st.sampled_from([0.0, 0.5, 3.0, 6.0, 20.0, 60.0, 700.0]))
    def wait(self, pause_s: float) -> None:
        self.now_s += pause_s
        self.health.pass_time(self.now_s)

    @rule(operations=st.sampled_from([1, 6, 60]))
    def succeed(self, operations: int) -> None:
        for _ in range(operations):
            self.health.succeeded(self.now_s)
            self.clean += 1
            if self.is_open and self.left_s is not None and self.clean >= 60 and self.now_s - self.faults_s[-1] >= 60:
                self.left_s = None
                self.faults_s.clear()

    @rule()
    def fail(self) -> None:
        self.health.failed(self.now_s)
        self.clean = 0
        self.faults_s.append(self.now_s)
        if self.left_s is None and sum(self.now_s - at_s <= 60 for at_s in self.faults_s) >= 3:
            self.left_s = self.now_s

    @rule()
    def hang(self) -> None:
        self.health.hung(self.now_s)
        self.clean = 0
        self.faults_s.append(self.now_s)
        if self.left_s is None:
            self.left_s = self.now_s

    @rule()
    def find_unopened(self) -> None:
        self.health.unopened(self.now_s)
        self.is_open = False
        if self.left_s is None:
            self.left_s = self.now_s

    @rule()
    def open(self) -> None:
        """An open folder is not opened again."""
        if not self.is_open:
            self.health.opened()
            self.is_open, self.left_s, self.clean = True, None, 0
            self.faults_s.clear()

    @rule()
    def probe(self) -> None:
        if self.health.may_probe(self.now_s):
            self.health.probed(self.now_s)
            self.probes_s.append(self.now_s)

    @invariant()
    def the_state_is_that_of_the_rule(self) -> None:
        expected = DiskState.HEALTHY
        if self.left_s is not None:
            expected = DiskState.DOWN if self.now_s - self.left_s >= HALF_HOUR_S else DiskState.UNSTABLE
        assert self.health.state is expected

    @invariant()
    def no_minute_has_more_than_ten_probes(self) -> None:
        assert sum(self.now_s - at_s < 60 for at_s in self.probes_s) <= 10

    @invariant()
    def a_folder_that_is_not_open_is_not_probed(self) -> None:
        assert self.is_open or not self.health.may_probe(self.now_s)

    @invariant()
    def a_disk_in_service_is_not_probed(self) -> None:
        assert not (self.health.is_usable and self.health.may_probe(self.now_s))


AnyHistory.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None, print_blob=True)
test_any_history_keeps_to_the_rule = AnyHistory.TestCase
