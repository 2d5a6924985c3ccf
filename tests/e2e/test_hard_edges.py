"""What real traffic does to money, queries and processes: a router and a worker on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from router.budget.ledger import account_key
from schemas import Receipt
from schemas.wire import decode
from streams.brokers.kafka import KafkaServer
from tests.support.hard_edges import CASES, IMAGE, INPUT, OUTPUT, Case
from tests.support.scripted_model import Reply, ScriptedModel, completion
from tests.support.system import System
from tests.support.two_models import (
    LARGE,
    SMALL,
    Settings,
    ask,
    charged,
    named,
    reserved,
    results,
    send,
    settings,
    spent,
    start,
    two_models,
    wait_answered,
)

pytestmark = pytest.mark.kafka


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
    with two_models(kafka_broker, folder, "edges.", keys) as system:
        start(system)
        send(system, {case.name: case.record(SMALL) for case in CASES})
        system.wait_settled()
        yield {case.name: _ended(system, server, case) for case in CASES}
        system.sluice("audit")
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


def ask_until_answered(system: System) -> None:
    """Send queries, one after the end of the other, until one is answered: a worker that has slept
    may have to join its group again, for longer than a reservation lasts."""
    sent: list[str] = []

    def answered() -> bool:
        found = results(system)
        if any(id in found and found[id]["status_code"] < 300 for id in sent):
            return True
        if not sent or (sent[-1] in system.decided() and reserved(system, SMALL) == 0):
            sent.append(f"last{len(sent)}")
            send(system, ask(sent[-1:]))
        return False

    system.wait("an answer", answered)


def test_a_worker_that_sleeps_through_deadlines(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """What was released is not called for any more: the server never charges more than the limit,
    though the worker is stopped until every reservation has been released, again and again."""
    server, limit = ScriptedModel(), 2_000_000
    server.otherwise = Reply(completion({"prompt_tokens": 60, "completion_tokens": "X"}))
    server.otherwise = Reply(server.otherwise.body.replace(b'"X"', b"{MAX}"))
    keys = settings(server, **{"budget.limit": f"{limit / 1e9:.9f}"})
    keys["reservation"] = {"mode": "max", "deadline_seconds": 4.0}
    with two_models(kafka_broker, tmp_path, prefix, keys) as system:
        start(system)
        first = named("first", 2)
        send(system, ask(first))
        wait_answered(system, first)
        worker = system.children["w0"]
        for turn in range(3):
            worker.pause()
            ids = named(f"turn{turn}-", 8)
            send(system, ask(ids, max_tokens=300))
            system.wait("reservations", lambda: reserved(system, SMALL) > 0)
            system.wait("their release", lambda: reserved(system, SMALL) == 0)
            worker.resume()
            worker.stopping = False
        ask_until_answered(system)
        system.wait_settled()
        assert charged(server) == spent(system, SMALL) <= limit
        system.sluice("audit")
    server.close()


def test_money_that_comes_and_images_that_cost(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """Sixty queries that wait for money write nothing while there is none, and end when there is;
    sixty images keep to a limit that allows one."""
    image = {"type": "image_url", "image_url": {"url": "https://example.invalid/a.jpg"}}
    server = ScriptedModel(
        {"image": Reply(completion({"prompt_tokens": 36_848, "completion_tokens": 5}))}
    )
    keys = settings(server, image_tokens=40_000, **{"budget.limit": "0.0002"})
    keys[f'models."{LARGE}"']["budget.limit"] = "0.002"
    keys["tenants.images.limits"] = {f'"{SMALL}"': "0.01"}
    with two_models(kafka_broker, tmp_path, prefix, keys, partitions=1) as system:
        start(system)
        plain = named("plain", 60)
        send(system, ask(plain, model=None))
        system.wait_decided()
        calm(system)
        assert len(results(system)) < 60
        for model in (SMALL, LARGE):
            system.sluice("budget", "set", model, "1000")
        wait_answered(system, plain)
        system.wait_settled()

        content = [{"type": "text", "text": "What is this? #image#"}, image]
        body = {"messages": [{"role": "user", "content": content}]}
        fields = {"max_tokens": 20, "tenant": "images", "allowed_models": [SMALL], "payload": body}
        send(system, {id: orjson.dumps({"id": id, **fields}) for id in named("image", 60)})
        system.wait("an image", lambda: bool(server.asked["image"]))
        system.wait_decided()
        calm(system)
        assert 0 < spent(system, account_key(SMALL, "images")) <= 10_000_000
        system.sluice("audit")
    server.close()


def calm(system: System) -> None:
    """Wait until every partition goes on (30 reports in all), and decides nothing otherwise."""
    while True:
        before, reports = written(system), reported(system)
        system.wait("more reports", lambda: reported(system) >= reports + 30)  # noqa: B023  # awaited
        if written(system) == before and not reserved(system, SMALL) + reserved(system, LARGE):
            return


def reported(system: System) -> int:
    return len(system.read(system.topics.share_reports))


def written(system: System) -> tuple[int, int]:
    """Numbers of records that passes over waiting queries may write."""
    return len(system.read(system.topics.receipts)), len(system.read(system.topics.deferred))


@pytest.mark.parametrize(
    "busy",
    [
        Reply(b'{"error": {"message": "slow down"}}', 429, {"Retry-After": "3"}),
        Reply(b"", 429, {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}),
    ],
    ids=["429", "no date"],
)
def test_a_server_that_is_busy(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str, busy: Reply
) -> None:
    """Nothing fails, few calls are made, the other model goes on; then all are answered."""
    slow, well = ScriptedModel(), ScriptedModel()
    slow.otherwise = busy
    keys = settings(slow)
    keys[f'models."{LARGE}"']["base_url"] = well.url
    with two_models(kafka_broker, tmp_path, prefix, keys) as system:
        start(system)
        waiting = named("waiting", 60)
        send(system, ask(waiting))
        system.wait("a call", lambda: bool(slow.asked[""]))
        others = named("other", 20)
        send(system, ask(others, LARGE))
        wait_answered(system, others)
        assert len(slow.asked[""]) <= 70  # those in flight at once, and probes
        slow.otherwise = Reply()
        wait_answered(system, [*waiting, *others])
        system.wait_settled()
        assert spent(system, SMALL) == 60 * (10 * INPUT + 20 * OUTPUT)
        system.sluice("audit")
    for server in (slow, well):
        server.close()
