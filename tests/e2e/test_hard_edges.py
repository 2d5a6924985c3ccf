"""What real traffic does to money, queries and processes: a router and a worker on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
import pytest

from router.budget.ledger import account_key
from schemas import Receipt
from schemas.wire import decode
from streams.brokers.kafka import KafkaServer
from tests.e2e.test_replay import sluice
from tests.support.hard_edges import CASES, IMAGE, INPUT, OUTPUT, Case
from tests.support.scripted_model import ScriptedModel
from tests.support.system import MODELS, System

pytestmark = pytest.mark.kafka

SMALL, LARGE = MODELS[0], MODELS[2]
Settings = dict[str, dict[str, object]]


def settings(server: ScriptedModel, **small: object) -> Settings:
    """Two models on one server. small: further keys of the cheap one."""
    common: dict[str, object] = {
        "context": 128_000,
        "max_output_tokens": 2048,
        "base_url": server.url,
        "timeout": 20.0,
        "concurrency": 64,
    }
    cheap = {"input_price": "0.15", "output_price": "0.60", "budget.limit": "100"}
    dear = {"input_price": "2.50", "output_price": "10.00", "budget.limit": "100"}
    return {
        f'models."{SMALL}"': {**common, **cheap, **small},
        f'models."{LARGE}"': {**common, **dear},
        "reservation": {"mode": "max"},
        "deferral": {"retry_seconds": 0.5},
    }


def start(system: System) -> None:
    """Start a router, and a worker that calls the models' servers."""
    system.start_router("r0")
    system.run("w0", "work", SMALL, LARGE, "--config", str(system.config))


def send(system: System, records: dict[str, bytes]) -> None:
    """Send queries by id, and wait for the acknowledgement."""
    for id, data in records.items():
        system.sent[id] = data
        system.send(system.topics.queries, data, id.encode())
    system.flush()


def results(system: System) -> dict[str, Any]:
    """The last result by query id."""
    return {one["id"]: one for one in map(_json, system.read(system.topics.results))}


def _json(record: Any) -> Any:
    return record.json()


def spent(system: System, account: str) -> int:
    """Nano-units, over all partitions."""
    return sum(
        state.accounts[account].spent
        for state in system.states().values()
        if account in state.accounts
    )


class Ended(NamedTuple):
    """How a case has ended, and what it cost (nano-units)."""

    result: dict[str, Any] | None
    refusal: dict[str, Any] | None
    reserved: int
    charged: int
    asked: list[dict[str, Any]]


@pytest.fixture(scope="module")
def ended(
    kafka_broker: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Ended]]:
    """One run of all cases. Each is a tenant, whose account tells what it was charged."""
    server = ScriptedModel({case.name: case.reply for case in CASES})
    tenants: Settings = {f"tenants.{case.name}.limits": {f'"{SMALL}"': "50"} for case in CASES}
    keys = {**settings(server, image_tokens=IMAGE), **tenants}
    folder = tmp_path_factory.mktemp("edges")
    with System(kafka_broker, folder, "edges.", size=100, past=100, settings=keys) as system:
        start(system)
        send(system, {case.name: case.record(SMALL) for case in CASES})
        system.wait_settled()
        yield {case.name: _ended(system, server, case) for case in CASES}
        found = sluice(system, "audit")
        assert found.exit_code == 0, found.output
    server.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_end_of_a_case(ended: dict[str, Ended], case: Case) -> None:
    """Answered, failed or rejected, after so many calls."""
    found = ended[case.name]
    if case.end == "rejected":
        assert found.result is None
        assert found.refusal is not None
        assert case.says in orjson.dumps(found.refusal).decode()
    else:
        assert found.refusal is None, found.refusal
        assert found.result is not None
        assert (found.result["status_code"] < 300) == (case.end == "answered"), found.result
    assert len(found.asked) == case.calls


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_charge_of_a_case(ended: dict[str, Ended], case: Case) -> None:
    """What it is known to have cost, else the reservation, marked as an estimate."""
    found = ended[case.name]
    if case.charged == "reserved":
        assert found.charged == found.reserved > 0
        assert found.result is not None
        assert found.result["estimated"]
    else:
        prompt, completion = case.charged
        assert found.charged == prompt * INPUT + completion * OUTPUT


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_the_server_is_asked(ended: dict[str, Ended], case: Case) -> None:
    """For no more tokens than are reserved, in all answers, under one name."""
    for body in ended[case.name].asked:
        assert "max_completion_tokens" not in body
        assert body["max_tokens"] * body.get("n", 1) * OUTPUT <= ended[case.name].reserved


def _ended(system: System, server: ScriptedModel, case: Case) -> Ended:
    receipts = [decode(Receipt, record.value) for record in system.read(system.topics.receipts)]
    refused = {
        record.key.decode(): record.json()
        for record in system.read(system.topics.rejected)
        if record.key
    }
    return Ended(
        results(system).get(case.name),
        refused.get(case.name),
        max((one.reserved for one in receipts if one.id == case.name), default=0),
        spent(system, account_key(SMALL, case.name)),
        server.asked[case.name],
    )
