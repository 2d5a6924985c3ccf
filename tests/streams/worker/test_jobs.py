"""What is in flight, what has finished, and what may be committed, without a broker."""

from __future__ import annotations

import pytest

from streams.worker import jobs as module
from streams.worker.jobs import Job, Jobs, Place
from tests.support.worker_place import routed


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


def take(jobs: Jobs, id: str, offset: int, partition: int = 0) -> Job | None:
    """Take a record that carries a decision; its job where it is new."""
    place = Place(partition, offset)
    jobs.take(place)
    return jobs.add(routed(id), None, place)


def new(jobs: Jobs, id: str, offset: int, partition: int = 0) -> Job:
    job = take(jobs, id, offset, partition)
    assert job is not None
    return job


def test_an_offset_waits_for_those_before_it(jobs: Jobs) -> None:
    """And for none of another partition; what was told once is not told again."""
    first, second, other = new(jobs, "a", 0), new(jobs, "b", 1), new(jobs, "c", 7, partition=1)
    jobs.complete(second)
    jobs.complete(other)
    assert jobs.to_commit(jobs.partitions) == {1: 8}
    jobs.complete(first)
    assert jobs.to_commit(jobs.partitions) == {0: 2}
    assert jobs.to_commit(jobs.partitions) == {}


def test_a_decision_in_flight_has_one_job(jobs: Jobs) -> None:
    """Its second record, of any partition, finishes with the first."""
    job = new(jobs, "a", 0)
    assert take(jobs, "a", 3, partition=1) is None
    assert len(jobs) == 1
    jobs.complete(job)
    assert (len(jobs), jobs.to_commit({0, 1})) == (0, {0: 1, 1: 4})


def test_an_answered_decision_finishes_at_once(jobs: Jobs) -> None:
    """It is not asked again."""
    jobs.complete(new(jobs, "a", 0))
    assert take(jobs, "a", 1) is None
    assert jobs.to_commit({0}) == {0: 2}


def test_so_many_answered_decisions_are_known(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first, and answered again where it comes again."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for offset, id in enumerate("abc"):
        jobs.complete(new(jobs, id, offset))
    assert take(jobs, "b", 3) is None
    assert take(jobs, "a", 4) is not None


def test_a_rejected_record_finishes_without_a_job(jobs: Jobs) -> None:
    """It holds nothing back."""
    jobs.take(Place(0, 5))
    jobs.finish(Place(0, 5))
    assert jobs.to_commit({0}) == {0: 6}


def test_before_partitions_leave_only_started_calls_count(jobs: Jobs) -> None:
    """What nobody has asked for is dropped; a call that runs is still of the partition."""
    waiting, started, other = new(jobs, "a", 0), new(jobs, "b", 1), new(jobs, "c", 0, partition=1)
    started.started = True
    jobs.drop_unstarted({0})
    current = [jobs.is_current(job) for job in (waiting, started, other)]
    assert current == [False, True, True]
    assert jobs.any_in({0})
    jobs.complete(started)
    assert not jobs.any_in({0})


def test_the_last_commit_repeats_what_was_told(jobs: Jobs) -> None:
    """One that was under way may have been lost."""
    jobs.complete(new(jobs, "a", 0))
    assert jobs.to_commit({0}) == {0: 1}
    assert jobs.to_commit_again({0}) == {0: 1}


def test_a_partition_that_left_moves_nothing(jobs: Jobs) -> None:
    """Its late answer commits no offset, also where its record has come again."""
    job = new(jobs, "a", 0)
    jobs.drop({0})
    assert jobs.partitions == set()
    again = new(jobs, "a", 0)
    jobs.complete(job)
    jobs.finish(Place(1, 0))
    assert (jobs.is_current(job), jobs.is_current(again)) == (False, True)
    assert jobs.to_commit({0}) == {}
