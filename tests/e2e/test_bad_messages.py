"""Bad messages among good ones: the good ones go their way, the bad ones are rejected in words."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from schemas import Routed
from schemas.result import read_result
from schemas.wire import MAX_BYTES, decode
from streams.brokers.kafka import KafkaServer
from tests.support import invariants
from tests.support.bad import QUERIES, RESULTS, TOO_LARGE, Bad, BadResult
from tests.support.records import Record
from tests.support.system import System

GOOD, BAD = 5_000, 1_000
Kinds = dict[tuple[str, int], Bad | BadResult]
"""By topic and number of the bad message in its key."""


@pytest.mark.kafka
def test_bad_messages_among_good_ones(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """1,000 bad queries and 1,000 bad results among 5,000 good ones of each: all good ones are
    routed and settled, each bad one is rejected once with the code, field and words of its kind,
    and no process has ended. A bad result that names an open decision settles it, so that the good
    answer to it is rejected: no other one is."""
    kinds: Kinds = {}
    # Budgets for all, so that every good query is routed and has a result.
    with System(kafka_broker, tmp_path, prefix, size=GOOD, store="rocksdb", plenty=20.0) as system:
        router = system.start_router("r0")
        _send_queries(system, kinds)
        system.wait("most decisions", lambda: len(system.decided()) > GOOD // 2)
        _send_results(system, kinds, 0, BAD // 2)
        system.answer()
        _send_results(system, kinds, BAD // 2, BAD)
        # What the first reservations leave no room for waits until they are settled.
        system.wait("all good ones to be routed", lambda: _routed(system) == system.sent.keys())
        system.wait_settled()
        topic = system.topics.rejected
        system.wait("all rejections", lambda: sum(map(_is_bad, system.read(topic))) >= 2 * BAD + 1)
        story = invariants.hold(system)
        assert router.process.poll() is None, router.tail()
    _all_rejected(story, kinds, system)


def _is_bad(rejected: Record) -> bool:
    """Whether a rejection is of a bad message: these have numbers for keys."""
    return (rejected.key or b"").isdigit()


def _routed(system: System) -> set[str]:
    """Ids of all queries that have left for a model."""
    topics = [system.topics.routed(model) for model in system.models]
    return {(record.key or b"").decode() for topic in topics for record in system.read(topic)}


def _send_queries(system: System, kinds: Kinds) -> None:
    """Bad ones evenly among the good ones, and one that is too large."""
    topic = system.topics.queries
    bad = list(QUERIES.values())
    for number in range(BAD):
        kind = bad[number % len(bad)]
        kinds[topic, number] = kind
        system.send(topic, kind.make(number), str(number).encode(), number % system.partitions)
        each = GOOD // BAD
        system.produce(number * each, (number + 1) * each, wait=False)
    kinds[topic, BAD] = TOO_LARGE
    system.send(topic, TOO_LARGE.make(BAD), str(BAD).encode(), 0)
    system.flush()


def _send_results(system: System, kinds: Kinds, first: int, last: int) -> None:
    """Answers of every bad kind to queries that were really routed, in their own partition."""
    topic, random = system.topics.results, Random(first)
    answering = first > 0  # then what they pretend to answer may be settled already, or not
    routed = [
        decode(Routed, record.value, 2 * MAX_BYTES)
        for model in system.models
        for record in system.read(system.topics.routed(model))
    ]
    bad = [kind for kind in RESULTS.values() if not (answering and kind.open)]
    # One bad result for each decision: the first may settle it, and its reservation be open no more
    to_each = random.sample(routed, last - first)
    for number, to in zip(range(first, last), to_each, strict=True):
        kind = bad[number % len(bad)]
        kinds[topic, number] = kind
        system.send(topic, kind.make(to), str(number).encode(), to.source.partition)
    system.flush()


def _settled_by_bad(story: invariants.Story) -> set[str]:
    """Decisions whose first result, in the order of the log, is one that is refused for its form
    but names them."""
    first: dict[str, Record] = {}
    for record, result in story.charged():
        first.setdefault(result.decision_id, record)
    return {decision for decision, record in first.items() if _is_bad(record)}


def _all_rejected(story: invariants.Story, kinds: Kinds, system: System) -> None:
    found = {}
    settled = _settled_by_bad(story)
    for record, message in story.rejected:
        if not _is_bad(record):
            late = read_result(message.original())
            assert (message.source.topic, message.code) == (system.topics.results, "not_in_flight")
            assert late.decision_id in settled, "a good answer was rejected"
            continue
        place = (message.source.topic, int(record.key or b"-1"))
        assert place not in found, "rejected twice"
        found[place] = message
    assert found.keys() == kinds.keys()
    wrong = {}
    for place, kind in kinds.items():
        message = found[place]
        said = (message.code, message.field) == (kind.code, kind.field)
        if not said or kind.says not in message.reason:
            wrong[message.reason] = (kind.code, kind.field, kind.says, message.code, message.field)
    assert not wrong
