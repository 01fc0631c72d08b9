"""The queue that workers share: each `Queue` here is one of them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from cache import queue
from cache.disk import Folder
from cache.queue import Asked, Job, Proof, Queue, Stage

Worker = Callable[[], Queue]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Makes another worker of one folder."""
    with ExitStack() as stack:

        def start() -> Queue:
            worker = Queue(tmp_path)
            worker.open()
            stack.callback(worker.close)
            return worker

        yield start


def taken(worker: Queue) -> Job:
    job = worker.take()
    assert job is not None
    return job


def asked(worker: Queue, key: str) -> Asked:
    row = worker.get(key)
    assert row is not None
    return row


def test_what_was_asked_for_first_is_taken_first_by_whoever_comes(worker: Worker) -> None:
    one, other = worker(), worker()
    one.ask(["b", "a"])
    other.ask(["c"])
    assert [taken(w).key for w in (other, one, other)] == ["b", "a", "c"]
    assert one.take() is None
    assert one.asked() == other.asked() == ["b", "a", "c"]


def test_what_nobody_asked_for_is_a_refetch_until_somebody_does_or_it_has_ended(worker: Worker) -> None:
    one, other = worker(), worker()
    one.ask(["lost", "prewarmed", "both"], is_refetch=True)
    other.ask(["prewarmed", "both"])
    one.ask(["both"], is_refetch=True)
    jobs = [taken(other) for _ in range(3)]
    assert [(job.key, job.is_refetch) for job in jobs] == [("lost", True), ("prewarmed", False), ("both", False)]

    other.finish(jobs[0], Proof.VERIFIED, 7.0)
    one.ask(["lost"])

    assert not taken(one).is_refetch


def test_what_was_brought_in_before_somebody_could_say_that_it_was_lost_stays_as_it_is(
    tmp_path: Path, worker: Worker
) -> None:
    """The fill that a killed worker left was seen by one and gone on with by another."""
    one, other, folder = worker(), worker(), Folder(tmp_path)
    one.ask(["a"])
    job = taken(one)
    folder.entry_path("a").parent.mkdir(parents=True)
    folder.entry_path("a").touch()
    one.finish(job, Proof.VERIFIED, 7.0)

    other.ask(["a", "b"], is_refetch=True)

    assert asked(one, "a").proof is Proof.VERIFIED
    assert other.asked() == ["b"]
    other.ask(["a"])
    assert other.asked() == ["b", "a"]


def test_asking_again_changes_nothing_until_it_has_ended_and_begins_anew_then(worker: Worker) -> None:
    one = worker()
    one.ask(["a", "b"])
    job = taken(one)
    one.ask(["a", "b", "a"])
    assert one.asked() == ["a", "b"]

    one.finish(job, Proof.VERIFIED, 7.0)
    assert one.asked() == ["b"]
    assert asked(one, "a").proof is Proof.VERIFIED
    one.ask(["a"])
    assert one.asked() == ["b", "a"]
    assert (asked(one, "a").stage, asked(one, "a").proof) == (Stage.QUEUED, Proof.UNVERIFIED)


def test_every_worker_is_told_the_same_of_what_ended(worker: Worker) -> None:
    one, other = worker(), worker()
    one.ask(["good", "bad"])
    one.finish(taken(one), Proof.NONE, 7.5)
    one.fail(taken(one), "why \udcff", None)
    assert other.get("good") == Asked(key="good", stage=Stage.DONE, error=None, proof=Proof.NONE, entry_at_s=7.5)
    assert other.get("bad") == Asked(
        key="bad", stage=Stage.FAILED, error="why ?", proof=Proof.UNVERIFIED, entry_at_s=None
    )
    assert other.get("never") is None


def test_the_work_of_a_worker_that_died_is_free_at_once(tmp_path: Path, worker: Worker) -> None:
    dead, other = Queue(tmp_path), worker()
    dead.open()
    dead.ask(["a"])
    job = taken(dead)
    assert other.take() is None
    dead.close()  # as the kernel does it
    assert other.take() == job


def test_a_worker_that_hangs_loses_its_work_and_cannot_end_it_any_more(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, other = worker(), worker()
    hung.ask(["a"])
    with monkeypatch.context() as short:
        short.setattr(queue, "LEASE_S", -1.0)
        job = taken(hung)
    assert other.take() == job

    assert hung.renew([job]) == set()
    hung.fail(job, "late", None)
    hung.forget(job)
    assert asked(hung, "a").stage is Stage.RUNNING
    assert other.renew([job]) == {job}


def test_a_lease_that_is_renewed_lasts(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = worker(), worker()
    one.ask(["a"])
    with monkeypatch.context() as short:
        short.setattr(queue, "LEASE_S", -1.0)
        job = taken(one)
    assert one.renew([job]) == {job}
    assert other.take() is None


def test_what_is_dropped_is_known_to_who_works_on_it_and_may_be_asked_for_again(worker: Worker) -> None:
    one, other = worker(), worker()
    one.ask(["a"])
    job = taken(one)
    assert other.drop("a")
    assert not other.drop("a")
    other.ask(["a"])
    assert one.renew([job]) == set()
    one.finish(job, Proof.VERIFIED, 1.0)
    assert asked(other, "a").stage is Stage.QUEUED
    assert taken(one) != job


def test_what_has_ended_is_dropped_without_having_been_asked_for_any_more(worker: Worker) -> None:
    one = worker()
    one.ask(["a"])
    one.finish(taken(one), Proof.VERIFIED, 1.0)
    assert not one.drop("a")
    assert one.get("a") is None


def test_clearing_leaves_what_has_ended(worker: Worker) -> None:
    one = worker()
    one.ask(["done", "running", "queued"])
    one.finish(taken(one), Proof.VERIFIED, 1.0)
    taken(one)
    one.clear()
    assert one.asked() == []
    assert asked(one, "done").stage is Stage.DONE


def test_what_is_put_back_keeps_its_place(worker: Worker) -> None:
    one, other = worker(), worker()
    one.ask(["a", "b"])
    taken(one)
    one.release()
    assert taken(other).key == "a"


def test_only_so_many_of_those_that_ended_are_kept(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "FAILED_MAX", 2)
    monkeypatch.setattr(queue, "DONE_MAX", 1)
    one = worker()
    one.ask("abcdef")
    for _ in range(3):
        one.fail(taken(one), "x", None)
    for _ in range(3):
        one.finish(taken(one), Proof.VERIFIED, 1.0)
    assert [key for key in "abcdef" if one.get(key)] == ["b", "c", "f"]


def test_many_workers_take_each_row_once(worker: Worker) -> None:
    keys = [f"image-{number}" for number in range(60)]
    workers = [worker() for _ in range(4)]
    workers[0].ask(keys)

    def work(one: Queue) -> list[str]:
        done = []
        while (job := one.take()) is not None:
            one.finish(job, Proof.VERIFIED, 1.0)
            done.append(job.key)
        return done

    with ThreadPoolExecutor(len(workers)) as threads:
        done = [key for part in threads.map(work, workers) for key in part]
    assert sorted(done) == sorted(keys)


def test_a_worker_takes_only_what_it_can_resolve(worker: Worker) -> None:
    queue = worker()
    queue.ask(["a", "b", "c"])
    assert queue.take(among={"nobody"}) is None
    job = queue.take(among={"c", "b"})
    assert job is not None
    assert job.key == "b"
    assert taken(queue).key == "a"
