"""What an operator asks for and sees: orders on the topic `control`, and the accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from router.budget.ledger import owner
from router.estimation.index.manifest import load_index, read_manifest
from schemas import decode_control
from schemas.control import Control, ModelControl, control_key
from schemas.wire import encode
from streams.config.settings import Config
from streams.control.registry import Registry
from streams.kafka import clients
from streams.kafka.errors import BrokerError
from streams.kafka.logs import Logs
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topics, create
from streams.state.changelog import last_states

TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """One account as it stands. status: of its model; amounts in nano-units, over all partitions;
    trial: what a newcomer may use of its limit to be tried, None for what is none.
    """

    status: str
    limit: int
    shares: int
    reserved: int
    spent: int
    trial: int | None = None

    @property
    def left(self) -> int:
        """What may still be spent; 0 where a limit was set below what is spent."""
        limit = self.limit if self.trial is None else self.trial
        return max(limit - self.spent - self.reserved, 0)


def order(config: Config, message: Control) -> None:
    """Publish an order; every router follows it.

    Raises Invalid for one that routers would pass over, BrokerError where it is not taken.
    """
    topic = Topics(config.topics.prefix).control
    decode_control(encode(message))
    producer = clients.producer(for_librdkafka(config.broker), TIMEOUT)
    failures: list[str] = []
    producer.produce(
        topic,
        encode(message),
        control_key(message),
        on_delivery=lambda error, _: failures.append(error.str()) if error else None,
    )
    if producer.flush(TIMEOUT + 1) or failures:
        raise BrokerError(f"topic {topic!r} did not take the order: {''.join(failures)}")


def add(config: Config, message: ModelControl) -> None:
    """Make the topic of a new model, and then publish the order that adds it.

    Raises ValueError for one that routers would pass over, BrokerError where the topic cannot be
    made or the order is not taken.
    """
    decode_control(encode(message))
    if message.name in config.models:
        raise ValueError(f"the configuration has a model {message.name!r} already")
    registry, topics = orders(config), Topics(config.topics.prefix)
    if why_not := registry.take(message):
        raise ValueError(why_not)
    planned = topics.planned(
        [*config.models, *registry.added],
        config.topics.partitions,
        config.topics.model_partitions,
    )
    routed = [topic for topic in planned if topic.name == topics.routed(message.name)]
    admin = clients.admin(for_librdkafka(config.broker))
    create(admin, routed, config.topics.replicas)
    order(config, message)


def orders(config: Config) -> Registry:
    """Read all that operators have ordered. Raises BrokerError or KafkaException."""
    logs = Logs(config.broker)
    records = logs.read(logs.spans(Topics(config.topics.prefix).control))
    return Registry.of(records, config.tenant_limits(), config.models)


def standings(config: Config) -> dict[str, Standing]:
    """Read every account's standing from `control` and the partitions' changelog: of the models,
    each followed by the tenants that have a limit for it (`account_key`).

    Raises BrokerError or KafkaException where the topics cannot be read.
    """
    topics, logs = Topics(config.topics.prefix), Logs(config.broker)
    registry = orders(config)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for state in last_states(logs.read(logs.spans(topics.changelog))).values():
        for name, account in state.accounts.items():
            sums[name] = [a + b for a, b in zip(sums[name], account[:3], strict=True)]
    configured = {**configured_limits(config), **config.tenant_limits()}
    limits = registry.limits(configured)
    usable = registry.allotted(configured, config.newcomers.budget)
    place = {model: i for i, model in enumerate(limits)}
    names = sorted(limits, key=lambda name: (place[owner(name)[0]], owner(name)[1] or ""))
    found = {}
    for name in names:
        status, (shares, reserved, spent) = registry.status(owner(name)[0]), sums[name]
        trial = usable[name] if name in registry.added else None
        found[name] = Standing(status, limits[name], shares, reserved, spent, trial)
    return found


def configured_limits(config: Config) -> Mapping[str, int]:
    """Nano-units by model, as sluice.toml says; a shared total needs the index to be split."""
    score = cost = None
    if config.budget is not None:
        manifest = read_manifest(config.index.path)
        saved = load_index(
            config.index.path, embedder=manifest.embedder, dimension=manifest.dimension
        )
        score = np.nanmean(saved.history.scores, axis=0)
        cost = np.nanmean(saved.history.costs, axis=0)
    return dict(zip(config.models, config.limits(score, cost).tolist(), strict=True))
