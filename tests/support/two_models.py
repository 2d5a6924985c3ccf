"""A system of a cheap and a dear model at servers that a test scripts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from streams.brokers import Broker
from tests.support.hard_edges import INPUT, OUTPUT
from tests.support.records import Record
from tests.support.scripted_model import ScriptedModel
from tests.support.system import MODELS, System

SMALL, LARGE = PAIR = MODELS[0], MODELS[2]
PRICES = {SMALL: 10 * INPUT + 20 * OUTPUT, LARGE: 10 * 2500 + 20 * 10_000}
"""Nano-units of an answer that the server gives where nothing else is scripted."""
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


def two_models(broker: Broker, folder: Path, prefix: str, keys: Settings, **more: Any) -> System:
    """The system. keys: see `settings`; more: of `System`."""
    sizes = {"size": 100, "past": 100, **more}
    return System(broker, folder, prefix, models=PAIR, settings=keys, **sizes)


def start_worker(system: System, name: str) -> None:
    """For both models, at their servers."""
    system.run(name, "work", *PAIR, "--config", str(system.config))


def start(system: System) -> None:
    """Start a router, and a worker."""
    system.start_router("r0")
    start_worker(system, "w0")


def send(system: System, records: dict[str, bytes]) -> None:
    """Send queries by id, and wait for the acknowledgement."""
    for id, data in records.items():
        system.sent[id] = data
        system.send(system.topics.queries, data, id.encode())
    system.flush()


def results(system: System) -> dict[str, Any]:
    """The last result by query id."""
    return {one["id"]: one for one in map(Record.json, system.read(system.topics.results))}


def spent(system: System, account: str) -> int:
    """Nano-units, over all partitions."""
    return sum(
        state.accounts[account].spent
        for state in system.states().values()
        if account in state.accounts
    )


def ask(ids: Iterable[str], model: str | None = SMALL, **fields: object) -> dict[str, bytes]:
    """Queries by id. model: the only one that they may go to."""
    allowed = {} if model is None else {"allowed_models": [model]}
    fields = {"prompt": "Write an essay.", "max_tokens": 20, **allowed, **fields}
    return {id: orjson.dumps({"id": id, **fields}) for id in ids}


def named(prefix: str, count: int) -> list[str]:
    """So many ids."""
    return [f"{prefix}{number}" for number in range(count)]


def wait_answered(system: System, ids: Iterable[str]) -> None:
    """Wait until these queries have an answer; one that has failed is an error."""
    wanted = set(ids)

    def answered() -> bool:
        found = {id: one for id, one in results(system).items() if id in wanted}
        failed = [one for one in found.values() if one["status_code"] >= 300]
        assert not failed, failed
        return len(found) == len(wanted)

    system.wait("answers", answered)


def reserved(system: System, account: str) -> int:
    """Nano-units, over all partitions."""
    accounts = [state.accounts for state in system.states().values()]
    return sum(one[account].reserved for one in accounts if account in one)


def charged(server: ScriptedModel) -> int:
    """Nano-units that the server would bill for all of its calls, each of which used its limit."""
    return sum(60 * INPUT + body["max_tokens"] * OUTPUT for body in server.asked[""])
