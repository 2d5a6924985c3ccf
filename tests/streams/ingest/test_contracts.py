"""What `streams.ingest` takes for granted of Faust and aiokafka, hook by hook.

Most of these names are private. Each test runs the library's own code around one of them, so that
an upgrade which renames, bypasses or redefines a hook fails here, and not in production.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import tomllib
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import aiokafka
import faust
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.assignor import PartitionAssignor
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.consumer import ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from faust.types.tuples import ConsumerMessage, ack_lock
from packaging.requirements import Requirement

from streams.ingest.chunks import ChunkScheduler, Consumer, chunked
from streams.ingest.fetch import LoopConsumer

QUERIES, OTHER = TP("queries", 0), TP("other", 0)
STREAMS = Path(__file__).parents[3] / "streams"

HOOKS = [
    (BaseConsumer, "_wait_next_records", "async (self, timeout)"),
    (BaseConsumer, "_filter_tps_with_pending_acks", "(self, topics)"),
    (BaseConsumer, "_new_offset", "(self, tp)"),
    (BaseConsumer, "_add_gap", "async (self, tp, offset_from, offset_to)"),
    (BaseConsumer, "_get_active_partitions", "(self)"),
    (BaseConsumer, "ack", "(self, message)"),
    (BaseConsumer, "on_partitions_revoked", "async (self, revoked)"),
    (BaseConsumer, "perform_seek", "async (self)"),
    (BaseConsumer, "seek", "async (self, partition, offset)"),
    (ThreadDelegateConsumer, "_seek", "async (self, partition, offset)"),
    (ThreadDelegateConsumer, "earliest_offsets", "async (self, *partitions)"),
    (ThreadDelegateConsumer, "assignment", "(self)"),
    (driver.Consumer, "_to_message", "(self, tp, record)"),
    (driver.Consumer, "_new_consumer_thread", "(self)"),
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer", "(self, transport)"),
    (BaseConsumer, "wait_first", "async (self, *coros, timeout)"),
    (driver.AIOKafkaConsumerThread, "start", "async (self)"),
    (driver.AIOKafkaConsumerThread, "stop", "async (self)"),
    (driver.AIOKafkaConsumerThread, "_serve", "async (self)"),
    (driver.AIOKafkaConsumerThread, "_gather_remaining_tasks", "async (self)"),
    (driver.AIOKafkaConsumerThread, "getmany", "async (self, active_partitions, timeout)"),
    (
        driver.AIOKafkaConsumerThread,
        "_fetch_records",
        "async (self, consumer, active_partitions, timeout, max_records)",
    ),
    (driver.AIOKafkaConsumerThread, "call_thread", "async (self, fun, *args, **kwargs)"),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer", "(self)"),
    (DefaultSchedulingStrategy, "iterate", "(self, records)"),
    (PartitionAssignor, "_get_copartitioned_groups", "(topics, cluster, subscriptions)"),
    (AIOKafkaClient, "force_metadata_update", "(self)"),
    (Fetcher, "_proc_fetch_request", "async (self, assignment, node_id, request)"),
    (GroupCoordinator, "request_rejoin", "(self)"),
]


@pytest.fixture
async def consumer(tmp_path: Path) -> Consumer:
    """Our consumer as Faust makes it, for an app that is not started."""
    app = faust.App(
        "contracts",
        broker="sluice://127.0.0.1:9",
        datadir=tmp_path,
        ConsumerScheduler=chunked(2),
    )
    made = app.consumer
    assert type(made) is Consumer, "the transport's `Consumer` is no longer what Faust makes"
    return made


def record(offset: int, tp: TP = QUERIES) -> Any:
    return SimpleNamespace(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=1000,
        timestamp_type=0,
        headers=[],
        key=b"k",
        value=b"v",
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
    )


@pytest.mark.parametrize(("owner", "name", "shape"), HOOKS, ids=[hook[1] for hook in HOOKS])
def test_the_hook_is_there(owner: type, name: str, shape: str) -> None:
    """It has the parameters that we override or call it with, and is a coroutine where it was."""
    found = inspect.unwrap(getattr(owner, name))
    parameters = inspect.signature(found).parameters.values()
    stars: dict[Any, str] = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    listed = ", ".join(stars.get(each.kind, "") + each.name for each in parameters)
    prefix = "async " if inspect.iscoroutinefunction(found) else ""
    assert f"{prefix}({listed})" == shape, f"{owner.__name__}.{name} has changed"


@pytest.mark.parametrize(
    "name", [hook[1] for hook in HOOKS if hook[1] in vars(Consumer)], ids=lambda name: name
)
def test_our_override_keeps_the_shape(name: str) -> None:
    """It takes what Faust passes, under the same names."""
    ours, theirs = (
        list(inspect.signature(inspect.unwrap(getattr(owner, name))).parameters)
        for owner in (Consumer, driver.Consumer)
    )
    assert ours == theirs


async def test_wait_next_records_feeds_the_scheduler(consumer: Consumer) -> None:
    """`getmany` takes all records from `_wait_next_records`, hands them to the scheduler, and
    makes a message of each thing that it yields with `_to_message`."""
    got = {QUERIES: ["a", "b"], OTHER: ["c"]}
    made: list[Any] = []

    def make(*given: Any) -> Any:
        made.append(given)
        return given

    with (
        patch.object(consumer, "_wait_next_records", AsyncMock(return_value=(got, set(got)))),
        patch.object(consumer, "_to_message", make),
        patch.object(consumer, "highwater", lambda tp: 9),
    ):
        yielded = [message async for _, message in consumer.getmany(1.0)]
    assert sorted(made) == [(OTHER, "c"), (QUERIES, "a"), (QUERIES, "b")]
    assert yielded == made


async def test_wait_next_records_fetches_active_partitions(consumer: Consumer) -> None:
    """Faust's own `_wait_next_records` asks for what `_get_active_partitions` names."""
    consumer._active_partitions = {QUERIES}
    brought = {QUERIES: [record(0)]}
    with patch.object(consumer, "_getmany", AsyncMock(return_value=brought)) as getmany:
        assert await BaseConsumer._wait_next_records(consumer, 0.5) == (brought, {QUERIES})
    getmany.assert_awaited_once_with(active_partitions={QUERIES}, timeout=0.5)


async def test_where_the_flow_stops_getmany_seeks(consumer: Consumer) -> None:
    """What was fetched while the flow stopped is dropped, and fetched again after a seek."""

    async def stop(_: float) -> tuple[dict[TP, list[Any]], set[TP]]:
        consumer.stop_flow()
        return {QUERIES: ["a"]}, {QUERIES}

    with (
        patch.object(consumer, "_wait_next_records", stop),
        patch.object(consumer, "perform_seek", AsyncMock()) as seek,
    ):
        assert [each async for each in consumer.getmany(1.0)] == []
    seek.assert_awaited_once_with()
    assert not consumer.can_resume_flow.is_set()


async def test_to_message_makes_what_agents_acknowledge(consumer: Consumer) -> None:
    """The message can be given another value, and its last reference gone calls `ack`."""
    message: Any = driver.Consumer._to_message(consumer, QUERIES, record(5))
    assert isinstance(message, ConsumerMessage)
    assert (message.tp, message.offset, message.acked) == (QUERIES, 5, False)
    changed: Any = message
    changed.key, changed.headers, changed.value = None, None, ["records"]
    message.incref()
    with patch.object(consumer, "ack") as ack:
        message.ack(consumer)
    ack.assert_called_once_with(message)


async def test_ack_keeps_faust_s_books(consumer: Consumer) -> None:
    """`track_message` puts a message into `_unacked_messages`; `ack` takes it out, counts it in
    `_n_acked`, and holds `ack_lock`, which one thread may take twice."""
    message = driver.Consumer._to_message(consumer, OTHER, record(5, OTHER))
    consumer.track_message(message)
    assert message in consumer._unacked_messages
    with ack_lock, ack_lock, patch.object(type(consumer.app.topics), "acks_enabled_for") as enabled:
        enabled.return_value = True
        assert BaseConsumer.ack(consumer, message) is True
    assert message not in consumer._unacked_messages
    assert (message.acked, consumer._n_acked) == (True, 1)


async def test_commit_asks_filter_and_new_offset(consumer: Consumer) -> None:
    """What is committed: of each partition that `_filter_tps_with_pending_acks` yields, what
    `_new_offset` returns, unless it is None or not beyond the last commit."""
    offsets = {QUERIES: 7, OTHER: None, TP("old", 0): 3}
    consumer._committed_offset[TP("old", 0)] = 3
    with (
        patch.object(consumer, "_filter_tps_with_pending_acks", Mock(return_value=offsets)) as due,
        patch.object(consumer, "_new_offset", offsets.get),
        patch.object(consumer, "_handle_attached", AsyncMock()),
        patch.object(consumer, "_commit_offsets", AsyncMock(return_value=True)) as commit,
    ):
        assert await consumer.commit() is True
    due.assert_called_once_with(None)
    assert [call.args for call in commit.await_args_list] == [({QUERIES: 7},)]


async def test_new_offset_of_faust_needs_every_offset(consumer: Consumer) -> None:
    """Why it is overridden: a chunk's inner offsets are gaps to Faust, and hold the commit back."""
    consumer._acked[OTHER] = [2, 5]
    assert BaseConsumer._new_offset(consumer, OTHER) == 3
    assert list(BaseConsumer._filter_tps_with_pending_acks(consumer, None)) == [OTHER]


async def test_add_gap_is_asked_for_what_a_message_skips(consumer: Consumer) -> None:
    """Between two messages: from one offset after the first up to the second. Our chunks skip
    offsets all the time, and `_add_gap` would list them one by one."""
    first, second = (driver.Consumer._to_message(consumer, OTHER, record(i, OTHER)) for i in (1, 5))
    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())

    async def getmany(timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        for message in (first, second):
            yield OTHER, message
        fetcher._stopped.set()

    with (
        patch.object(consumer, "getmany", getmany),
        patch.object(consumer, "callback", AsyncMock()) as callback,
        patch.object(type(consumer.app.topics), "acks_enabled_for", lambda *_: True),
        patch.object(consumer, "_add_gap", AsyncMock()) as gap,
    ):
        await consumer._drain_messages(fetcher)
    gap.assert_awaited_once_with(OTHER, 2, 5)
    assert [call.args for call in callback.await_args_list] == [(first,), (second,)]


async def test_perform_seek_goes_to_what_is_committed(consumer: Consumer) -> None:
    """And leaves `_read_offset` empty where nothing is: there we seek to the beginning."""
    committed = {QUERIES: 7, OTHER: -1}
    with patch.object(consumer, "seek_to_committed", AsyncMock(return_value=committed)):
        await BaseConsumer.perform_seek(consumer)
    assert (consumer._read_offset[QUERIES], consumer._read_offset[OTHER]) == (7, None)


async def test_seek_moves_through_the_thread(consumer: Consumer) -> None:
    """`seek` calls `_seek`, which seeks in the consumer's thread, and sets `_read_offset`."""
    with patch.object(consumer, "_thread", Mock()) as thread:
        await BaseConsumer.seek(consumer, QUERIES, 4)
    thread.seek.assert_called_once_with(QUERIES, 4)
    assert consumer._read_offset[QUERIES] == 4


async def test_revoked_partitions_reach_the_app_in_the_call(consumer: Consumer) -> None:
    """`on_partitions_revoked` awaits the app's own part, which finishes and commits: only after
    it may the consumer forget what it handed out."""
    with patch.object(consumer, "_on_partitions_revoked", AsyncMock()) as app:
        await BaseConsumer.on_partitions_revoked(consumer, {QUERIES})
    app.assert_awaited_once_with({QUERIES})


async def test_new_consumer_thread_is_what_fetches(consumer: Consumer) -> None:
    """The consumer works through the thread that `_new_consumer_thread` returns."""
    assert type(consumer._thread) is LoopConsumer


async def test_wait_and_isolation_are_read_at_the_start(consumer: Consumer) -> None:
    """The thread makes its aiokafka consumer with `_create_worker_consumer`; Faust's wait is in
    `_fetch_max_wait_ms`, its isolation in `_isolation_level`, read by `start` (`test_fetch`
    and `test_transactions` start one)."""
    thread, transport = driver.AIOKafkaConsumerThread(consumer), consumer.transport
    assert isinstance(transport, driver.Transport)
    with patch.object(thread, "_create_worker_consumer", return_value="made") as create:
        assert thread._create_consumer(asyncio.get_running_loop()) == "made"
    create.assert_called_once_with(transport)
    fetching = thread._create_worker_consumer(transport)
    assert isinstance(fetching, aiokafka.AIOKafkaConsumer)
    assert fetching._fetch_max_wait_ms == 1500, "Faust asks otherwise now: is fetch.py needed?"
    assert fetching._isolation_level == "read_uncommitted", "is ISOLATION needed?"
    assert {"fetch_max_wait_ms", "isolation_level"} <= set(
        inspect.signature(Fetcher.__init__).parameters
    )


async def test_a_member_joins_again_with_fresh_metadata(consumer: Consumer) -> None:
    """In the thread of its consumer, which keeps `_client` and `_coordinator`."""
    source = inspect.getsource(aiokafka.AIOKafkaConsumer)
    assert "self._client = AIOKafkaClient" in source
    assert "self._coordinator = GroupCoordinator" in source
    calls = Mock()
    calls.force_metadata_update = AsyncMock()
    fetching = SimpleNamespace(_client=calls, _coordinator=calls)

    async def call_thread(function: Any) -> None:
        await function()

    with (
        patch.object(consumer._thread, "_ensure_consumer", return_value=fetching),
        patch.object(consumer._thread, "call_thread", call_thread),
    ):
        await consumer.rejoin()
    assert [call[0] for call in calls.mock_calls] == ["force_metadata_update", "request_rejoin"]


async def test_a_scheduler_is_a_class_that_settings_take(consumer: Consumer) -> None:
    """The documented setting `ConsumerScheduler`: the consumer makes one, and it goes round the
    partitions whatever the records are."""
    assert isinstance(consumer.scheduler, ChunkScheduler)
    records = {QUERIES: [[1, 2], [3]], TP("queries", 1): [[4]]}
    order = [each for _, each in consumer.scheduler.iterate(records)]
    assert sorted(order) == [[1, 2], [3], [4]]


async def test_what_the_runtime_asks_of_an_app(consumer: Consumer) -> None:
    """Public attributes without documentation: `rebalancing` and `assignment()`."""
    app = consumer.app
    assert app.rebalancing is False
    app.on_rebalance_start()
    assert app.rebalancing is True
    with patch.object(consumer, "_thread", SimpleNamespace(assignment=lambda: {QUERIES})):
        assert app.consumer.assignment() == {QUERIES}


def test_the_private_side_is_touched_here_only() -> None:
    """No other package imports aiokafka, mode or Faust's transport, or a private name of the app
    or its consumer."""
    found = {
        f"{file.relative_to(STREAMS)}:{line}: {what}"
        for file in STREAMS.rglob("*.py")
        if file.parent.name != "ingest"
        for line, what in private_uses(ast.parse(file.read_text()))
    }
    assert not found


def private_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Imports of, and private attributes from, the libraries that only `ingest` may know."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for name in modules:
                if name.split(".")[0] in {"aiokafka", "mode"} or name.startswith("faust.transport"):
                    yield node.lineno, name
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            of = node.value.attr if isinstance(node.value, ast.Attribute) else ""
            of = node.value.id if isinstance(node.value, ast.Name) else of
            if of in {"app", "_app", "consumer", "faust"}:
                yield node.lineno, f"{of}.{node.attr}"


@pytest.mark.parametrize("name", ["faust-streaming", "aiokafka", "confluent-kafka", "msgspec"])
def test_the_installed_version_is_a_tested_one(name: str) -> None:
    """It is within the bounds of pyproject.toml: raise a bound only with these tests green."""
    bounds = next(
        wanted for wanted in map(Requirement, requires()) if wanted.name == name
    ).specifier
    assert any(bound.operator in {"<", "<="} for bound in bounds)
    assert version(name) in bounds


def requires() -> list[str]:
    project = tomllib.loads((STREAMS.parent / "pyproject.toml").read_text())["project"]
    listed: list[str] = project["dependencies"]
    return listed
