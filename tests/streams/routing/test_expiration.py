"""What must hold of deadlines: each reservation is released once, and then rejected once."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaException

from streams.state.deadlines import LATE
from streams.state.rows import row_key
from tests.support.desk import DECIDED, Desk, result
from tests.support.recorded import TOPICS, open_partition


async def test_a_deadline_releases_and_rejects(desk: Desk) -> None:
    """Not before its time; each is rejected once, when the release is written."""
    await desk.settle(result(0))
    desk.outbox.sent.clear()
    await desk.expire(DECIDED + 59.9)
    assert desk.outbox.sent == []
    await desk.expire(DECIDED + 60.0)
    assert desk.money() == ([0, 0], [40, 0])
    assert [(one.id, one.code) for one in desk.rejected()] == [
        ("q1", "deadline_exceeded"),
        ("q2", "deadline_exceeded"),
    ]
    assert desk.outbox.topics() == [TOPICS.changelog, TOPICS.rejected]
    desk.outbox.sent.clear()
    await desk.expire(DECIDED + 120.0)
    assert desk.outbox.sent == []


async def test_a_late_result_is_charged_without_a_release(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The model was asked, so it must be paid: spent rises, nothing is released twice."""
    await desk.expire(DECIDED + 60.0)
    assert desk.money() == ([0, 0], [0, 0])
    with caplog.at_level(logging.WARNING):
        await desk.settle(result(0))
    assert desk.money() == ([0, 0], [40, 0])
    assert "after the deadline" in caplog.text
    await desk.settle(result(0))
    assert desk.money() == ([0, 0], [40, 0])
    assert desk.rejected()[-1].code == "not_in_flight"


async def test_after_a_day_not_even_a_late_result_is_expected(desk: Desk) -> None:
    """The rows are removed; what comes then is rejected and not charged."""
    await desk.expire(DECIDED + 60.0)
    await desk.expire(DECIDED + LATE)
    assert desk.store.read(0, row_key("queries", 0).encode()) is None
    await desk.settle(result(0))
    assert desk.money() == ([0, 0], [0, 0])
    assert desk.rejected()[-1].code == "not_in_flight"


async def test_nobody_is_told_of_a_release_that_is_not_written(desk: Desk) -> None:
    """A process that has been superseded knows nothing of results that came since."""
    desk.outbox.refuses = TOPICS.changelog
    with pytest.raises(KafkaException):
        await desk.expire(DECIDED + 60.0)
    assert desk.rejected() == []
    desk.outbox.refuses = None
    desk.partition = open_partition(desk.outbox, desk.store)
    assert desk.money()[0] == [200, 100]
    await desk.expire(DECIDED + 61.0)
    assert desk.money()[0] == [0, 0]
    assert len(desk.rejected()) == 3


async def test_rejections_that_were_cut_off_leave_later(desk: Desk) -> None:
    """The next owner sends them once the release is known; not those that a late result ended."""
    desk.outbox.refuses = TOPICS.rejected
    with pytest.raises(KafkaException):
        await desk.expire(DECIDED + 60.0)
    desk.outbox.refuses = None
    desk.partition = open_partition(desk.outbox, desk.store)
    await desk.settle(result(0))
    await desk.expire(DECIDED + 61.0)
    assert [one.id for one in desk.rejected()] == ["q1", "q2"]
    await desk.partition.commit({})
    desk.partition = open_partition(desk.outbox, desk.store)
    await desk.expire(DECIDED + 62.0)
    assert len(desk.rejected()) == 2


async def test_a_partition_that_has_gone_releases_nothing(desk: Desk) -> None:
    """Its rows may be another process's by now."""
    await desk.partition.revoke()
    before = list(desk.outbox.sent)  # how far it has published
    await desk.expire(DECIDED + 60.0)
    assert desk.outbox.sent == before


async def test_a_result_counts_in_the_window_that_held_it(desk: Desk) -> None:
    """A window that has begun meanwhile is not charged for it, and its begin is written."""
    await desk.expire(DECIDED, begins=[500, 0])
    assert desk.money() == ([0, 100], [0, 0])
    await desk.settle(result(0))
    account = desk.partition.ledger.accounts()["small"]
    assert (account.window, account.spent, account.past) == (500, 0, {0: (100, 40)})


async def test_what_a_worker_has_begun_is_held(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Its query ends, its reservation does not: the result is charged to it, whenever it comes."""
    desk.begun = {"queries/0/1"}
    await desk.expire(DECIDED + 60.0)
    assert desk.money() == ([100, 0], [0, 0])
    assert [("is held" in one.reason) for one in desk.rejected()] == [False, True, False]
    assert desk.partition.recent.seen(["q1"]) == [False]
    await desk.settle(result(1))
    assert desk.money() == ([0, 0], [40, 0])
    assert "after the deadline" not in caplog.text


async def test_a_held_reservation_outlives_its_router(desk: Desk) -> None:
    """The next owner rejects it no second time, and takes its failure for no reason to go on."""
    desk.begun = {"queries/0/1"}
    await desk.expire(DECIDED + 60.0)
    await desk.partition.commit({})
    desk.partition = open_partition(desk.outbox, desk.store)
    await desk.expire(DECIDED + 61.0)
    assert len(desk.rejected()) == 3
    assert desk.money() == ([100, 0], [0, 0])
    await desk.settle(result(1, status_code=503, cost=0))
    assert desk.money() == ([0, 0], [0, 0])


async def test_after_a_day_what_is_held_is_charged(desk: Desk) -> None:
    """By a result of the router's own, so that the log tells it; a second one charges nothing."""
    desk.begun = {"queries/0/1"}
    await desk.expire(DECIDED + 60.0)
    desk.outbox.sent.clear()
    await desk.expire(DECIDED + LATE)
    [(value, partition)] = [
        (one.value or b"", one.partition) for one in desk.outbox.sent if one.topic == TOPICS.results
    ]
    assert partition == 0
    assert desk.money() == ([100, 0], [0, 0])
    await desk.settle(value)
    assert desk.money() == ([0, 0], [100, 0])
    await desk.settle(value)
    assert desk.money() == ([0, 0], [100, 0])


async def test_nothing_ends_while_nobody_knows_what_has_begun(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker is away: it is asked again."""
    desk.unreadable = "no broker"
    await desk.expire(DECIDED + 60.0)
    assert desk.money() == ([200, 100], [0, 0])
    assert "no broker" in caplog.text
    desk.unreadable = None
    await desk.expire(DECIDED + 61.0)
    assert desk.money() == ([0, 0], [0, 0])


async def test_what_was_due_long_ago_ends_before_it_is_forgotten(desk: Desk) -> None:
    """No router ran for a day: the log says what was released, and senders are told; what is held
    is charged."""
    desk.begun = {"queries/0/1"}
    await desk.expire(DECIDED + LATE + 61.0)
    assert desk.money()[0] == [100, 0]
    assert [one.id for one in desk.rejected()] == ["q0", "q1", "q2"]
    assert desk.partition.row(row_key("queries", 0)) is not None
    await desk.expire(DECIDED + LATE + 62.0)
    assert desk.partition.row(row_key("queries", 0)) is None
    (charged,) = desk.outbox.of(TOPICS.results)
    await desk.settle(charged.value or b"")
    assert desk.money() == ([0, 0], [100, 0])


async def test_rejections_that_were_cut_off_leave_even_after_a_day(desk: Desk) -> None:
    """Before the rows that they are made from are forgotten."""
    desk.outbox.refuses = TOPICS.rejected
    with pytest.raises(KafkaException):
        await desk.expire(DECIDED + 60.0)
    desk.outbox.refuses = None
    desk.partition = open_partition(desk.outbox, desk.store)
    await desk.expire(DECIDED + LATE + 61.0)
    assert [one.id for one in desk.rejected()] == ["q0", "q1", "q2"]
