"""What must hold of settling: each answer is charged once, and what is no answer is told apart."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from unittest.mock import patch

import pytest
from confluent_kafka import KafkaException
from hypothesis import given, settings
from hypothesis import strategies as st

from router.budget.charges import MAX_CHARGE
from router.models.catalog import ModelCatalog
from schemas.result import DUPLICATE
from streams.routing.settlement import Settler
from streams.state.rows import row_key
from tests.support.desk import Desk, result
from tests.support.recorded import (
    FLEET,
    TOPICS,
    decide,
    new_ledger,
    open_partition,
    receipt,
)


async def test_a_result_releases_its_reservation_and_is_charged(desk: Desk) -> None:
    """What was held is free again but for the cost; the row is gone, from the changelog too."""
    await desk.settle(result(0), result(2, "large", cost=100))
    assert desk.money() == ([100, 0], [40, 100])
    assert desk.partition.row(row_key("queries", 0)) is None
    assert desk.store.read(0, row_key("queries", 0).encode()) is None
    assert desk.partition.row(row_key("queries", 1)) is not None
    assert desk.partition.settled == 1
    assert desk.rejected() == []


async def test_a_receipt_that_may_not_have_left_leaves_before_its_row_ends(desk: Desk) -> None:
    """A kill can come between a routed query and its receipt; the result may come before the query
    is delivered again, and would take the row with it. What is known to have left is not repeated.
    """
    desk.partition = open_partition(desk.outbox, desk.store)
    desk.partition.mark_published("queries", 0, [])
    await desk.settle(result(0), result(1), result(1), b"no result")
    told = [sent.json()["decision_id"] for sent in desk.outbox.of(TOPICS.receipts)]
    assert told == ["queries/0/1"]
    assert desk.outbox.topics()[-1] == TOPICS.changelog


async def test_a_result_waits_for_what_is_leaving(desk: Desk) -> None:
    """An answer may come before its query's receipt is acknowledged; nothing leaves twice then."""
    await decide(desk.partition, receipt(3))
    desk.outbox.sent.clear()
    settling = asyncio.create_task(desk.settle(result(0), result(3)))
    await asyncio.sleep(0)
    assert not desk.outbox.sent
    desk.partition.mark_published("queries", 3, [])
    await settling
    assert desk.outbox.topics() == [TOPICS.changelog]
    assert desk.partition.row(row_key("queries", 3)) is None


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"cost": 0}, 0),
        ({"cost": None, "usage": {"prompt_tokens": 7, "completion_tokens": 3}}, 13),
        ({"cost": 5, "usage": {"prompt_tokens": 7, "completion_tokens": 3}}, 5),
        ({"cost": None}, 100),
        ({"cost": None, "usage": {}}, 100),
        ({"cost": None, "usage": {"total_tokens": 5000}}, 100),
        ({"cost": None, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}, 100),
        ({"cost": None, "usage": {"prompt_tokens": 7, "completion_tokens": 2**32 - 1}}, 100),
        ({"cost": None, "usage": {"input_tokens": "7", "output_tokens": 3.0}}, 13),
        ({"cost": None, "status_code": 503}, 0),
        ({"cost": None, "status_code": 102}, 100),
        ({"status_code": 503, "cost": 9}, 9),
    ],
)
async def test_what_an_answer_costs(desk: Desk, fields: dict[str, Any], cost: int) -> None:
    """What the provider says, else usage at the model's prices; the reservation where an answer's
    usage is absent or not to be believed. A failure that gives neither costs nothing."""
    await desk.settle(result(0, **fields))
    assert desk.money() == ([100, 100], [cost, 0])


async def test_an_answer_dearer_than_its_reservation_is_charged_in_full(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The one way past a limit: it is charged, and the log names it."""
    with caplog.at_level(logging.WARNING):
        await desk.settle(result(0, cost=150))
    assert desk.money() == ([100, 100], [150, 0])
    assert "50 nano-units more" in caplog.text
    assert "queries/0/0" in caplog.text


@pytest.mark.parametrize("together", [True, False])
async def test_a_second_result_changes_nothing(desk: Desk, together: bool) -> None:
    """A worker may answer twice, in one chunk or in two: the second is rejected."""
    with patch.object(desk.metrics, "repeated") as counted:
        if together:
            await desk.settle(result(0), result(0, cost=90))
        else:
            await desk.settle(result(0))
            await desk.settle(result(0, cost=90))
    assert desk.money() == ([100, 100], [40, 0])
    (one,) = desk.rejected()
    assert (one.code, one.source.offset, one.original()) == ("not_in_flight", 1, result(0, cost=90))
    assert sum(len(call.args[0]) for call in counted.call_args_list) == 1


@pytest.mark.parametrize(("cost", "charged"), [(None, 100), (7, 7)])
async def test_a_model_that_has_left_the_configuration(
    desk: Desk, cost: int | None, charged: int
) -> None:
    """What it has under way settles, at the reservation where its prices are needed."""
    left = ModelCatalog(model for model in FLEET.models if model.name != "large")
    desk.settler = Settler(lambda: left, desk.outbox, TOPICS, desk.metrics)
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    await desk.settle(result(2, "large", cost=cost, usage=usage))
    assert desk.rejected() == []
    assert desk.money() == ([200, 0], [0, charged])


async def test_a_redelivered_chunk_is_passed_over(desk: Desk) -> None:
    """Offsets that are settled are not looked at again, and nothing is written or rejected."""
    chunk = result(0), b"no json"
    await desk.settle(*chunk)
    desk.outbox.sent.clear()
    await desk.again(0, *chunk)
    assert desk.money() == ([100, 100], [40, 0])
    assert desk.outbox.sent == []
    await desk.again(1, b"no json", result(1))
    assert desk.money() == ([0, 100], [80, 0])
    await desk.again(0, *chunk)
    assert desk.partition.settled == 2


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        (result(0, cost=MAX_CHARGE + 1), "invalid_field", "cost"),
        (
            result(0, cost=None, usage={"prompt_tokens": 10**12, "completion_tokens": 10**18}),
            "invalid_field",
            "usage",
        ),
        (result(0, status_code="good"), "invalid_field", "status_code"),
        (result(0, usage=[1]), "invalid_field", "usage"),
        (result(0, status_code=None), "invalid_field", "status_code"),
    ],
)
async def test_what_is_refused_for_its_form_still_settles(
    desk: Desk, value: bytes, code: str, field: str | None
) -> None:
    """The call was made: its reservation is charged, as nobody knows better, and never again."""
    await desk.settle(value, result(0), result(1))
    assert desk.money() == ([0, 100], [140, 0])
    first, second = desk.rejected()
    assert (first.code, first.field, first.source.offset) == (code, field, 0)
    assert second.code == "not_in_flight"
    assert desk.partition.row(row_key("queries", 0)) is None


async def test_what_is_told_of_a_duplicate_settles_nothing(desk: Desk) -> None:
    """It is on `results` for the client; a worker cannot end a reservation so."""
    error = {"code": DUPLICATE, "message": "…"}
    told = result(9, model="none", status_code=409, error=error)
    await desk.settle(told, result(0, status_code=409, error=error))
    assert desk.rejected() == []
    assert desk.money() == ([100, 100], [40, 0])


async def test_a_failed_id_may_be_sent_again(desk: Desk) -> None:
    """Answered ones not, nor those that are in flight; after a late failure it is as it was."""
    desk.partition.remember({"q0": 0, "q1": 1, "q2": 2})
    await desk.settle(result(0, status_code=503), result(1))
    loaded = open_partition(desk.outbox, desk.store)
    for partition in (desk.partition, loaded):
        assert partition.recent.seen(["q0", "q1", "q2"]) == [False, True, True]
    await desk.expire(5000.0)
    assert not any(desk.partition.recent.seen(["q0", "q2"]))
    desk.partition.remember({"q2": 9})
    await desk.settle(result(2, "large", status_code=503))
    assert desk.partition.recent.seen(["q2"]) == [True]


async def test_a_result_on_the_wrong_partition_says_where_it_belongs(desk: Desk) -> None:
    """The partition, and the header that names it."""
    await desk.settle(result(0, decision_id="queries/1/0"))
    (rejected,) = desk.rejected()
    assert "partition 1" in rejected.reason
    assert "sluice-source-partition" in rejected.reason


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cost": 150}, "worker states"),
        ({"cost": None, "usage": {"prompt_tokens": 150, "completion_tokens": 1}}, "its prompt"),
    ],
)
async def test_an_overcharge_is_named_for_its_reason(
    desk: Desk, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], why: str
) -> None:
    """Not every one is for ignoring max_tokens."""
    with caplog.at_level(logging.WARNING):
        await desk.settle(result(0, **fields))
    assert why in caplog.text


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        (b"no json", "invalid_json", None),
        (result(0, decision_id="somewhere else"), "not_in_flight", "decision_id"),
        (result(0, decision_id="queries/0/x"), "not_in_flight", "decision_id"),
        (result(0, decision_id="queries/0/" + "9" * 30), "not_in_flight", "decision_id"),
        (result(0, decision_id="queries/0/3"), "not_in_flight", "decision_id"),
        (result(0, decision_id="deferred/0/0"), "not_in_flight", "decision_id"),
        (result(0, decision_id="queries/1/0"), "not_in_flight", "decision_id"),
        (result(0, id="other"), "not_in_flight", "id"),
        (result(0, "large"), "not_in_flight", "model"),
        (result(0, "unheard"), "not_in_flight", "model"),
    ],
)
async def test_what_is_no_result_is_rejected(
    desk: Desk, value: bytes, code: str, field: str | None
) -> None:
    """With code, field, place and bytes; the reservation stays, and its neighbour is settled."""
    await desk.settle(value, result(1))
    assert desk.money() == ([100, 100], [40, 0])
    assert desk.partition.row(row_key("queries", 0)) is not None
    (one,) = desk.rejected()
    assert (one.code, one.field, one.original()) == (code, field, value)
    assert (one.source.topic, one.source.offset) == (TOPICS.results, 0)
    await desk.settle(result(0))
    assert desk.money() == ([0, 100], [80, 0])


async def test_a_rejection_leaves_before_the_state_moves(desk: Desk) -> None:
    """A kill between the two repeats the rejection; the other way round it would be lost."""
    await desk.settle(b"no json", result(0))
    # The first record proves that the partition has not changed hands.
    assert desk.outbox.topics() == [TOPICS.changelog, TOPICS.rejected, TOPICS.changelog]
    desk.outbox.refuses = TOPICS.rejected
    before = desk.partition.settled
    with pytest.raises(KafkaException):
        await desk.settle(b"no json")
    assert desk.partition.settled == before


async def test_a_superseded_owner_rejects_no_result(desk: Desk) -> None:
    """Its answer to a decision that only the next owner knows of would be a lie."""
    desk.outbox.refuses = TOPICS.changelog
    with pytest.raises(KafkaException):
        await desk.settle(result(7))
    assert desk.rejected() == []


results = st.lists(
    st.builds(
        result,
        st.integers(0, 4),
        st.sampled_from(["small", "large"]),
        cost=st.integers(0, 100),
    )
    | st.just(b"no json"),
    max_size=10,
)


@given(results=results, cuts=st.lists(st.integers(0, 10), max_size=3))
@settings(max_examples=60)
async def test_results_add_up_however_they_are_cut_and_repeated(
    results: list[bytes], cuts: list[int]
) -> None:
    """Chunks of any sizes, each delivered again with the one before: as one chunk would be."""
    whole, parts = await Desk().open(), await Desk().open()
    if results:
        await whole.settle(*results)
    bounds = sorted({0, len(results), *(cut for cut in cuts if cut < len(results))})
    for begin, end in zip([0, *bounds], bounds[1:], strict=False):
        await parts.again(begin, *results[begin:end])
    assert parts.money() == whole.money()
    assert parts.rejected() == whole.rejected()
    reserved, spent = whole.money()
    settled = len(results) - len(whole.rejected())
    assert sum(reserved) == 300 - 100 * settled
    assert all(amount <= share for amount, share in zip(spent, new_ledger().share, strict=True))
