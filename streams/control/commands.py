"""Admin commands on the topic `control`, and the status of accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import msgspec
import numpy as np

from router.budget.ledger import owner
from router.budget.limits import with_tenants
from router.estimation.index.manifest import load_index, read_manifest
from router.models.catalog import Model
from schemas import decode_control
from schemas.control import Control, ModelControl, ModelServer, control_key
from schemas.fields import NANO, Unit
from schemas.wire import encode
from streams.config.limits import ModelBudget
from streams.config.loader import substituted
from streams.config.models import ModelSettings
from streams.config.settings import Config
from streams.control.registry import Registry
from streams.kafka import clients
from streams.kafka.admin import no_topic
from streams.kafka.errors import BrokerError
from streams.kafka.logs import Logs
from streams.kafka.security import for_librdkafka
from streams.kafka.topics import Topics, create
from streams.state.changelog import last_states

TIMEOUT = 60.0
"""Seconds within which a command must be acknowledged."""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The status of one account, over all partitions. Amounts are in its unit, money in nano-units.

    Attributes:
        status: "paused" or "removed" where its model is; "spent" where no query can be reserved
            for; "low" where less is left than the longest answer is reserved at; else "open", or
            "new" for a model that no index knows.
        limit: what may be spent in the current window.
        shares: granted to partitions.
        reserved: for answers that are awaited.
        spent: charged in the current window.
        trial: what a newcomer may use of its limit; None for a model that an index knows.
        unit: what the amounts count.
    """

    status: str
    limit: int
    shares: int
    reserved: int
    spent: int
    trial: int | None = None
    unit: Unit = "currency"

    @property
    def left(self) -> int:
        """What may still be spent; 0 if the limit was set below what is spent."""
        limit = self.limit if self.trial is None else self.trial
        return max(limit - self.spent - self.reserved, 0)

    @property
    def gone(self) -> bool:
        """Whether its model is removed, and everything is settled."""
        return self.status == "removed" and not self.reserved


def send_command(config: Config, message: Control) -> None:
    """Publish an admin command; every router applies it.

    Raises:
        Invalid: routers would ignore the command.
        BrokerError: the topic is missing, or the broker did not acknowledge the command.
        KafkaException: no broker answers.
    """
    topic = Topics(config.topics.prefix).control
    decode_control(encode(message))
    connection = for_librdkafka(config.broker)
    if topic not in clients.admin(connection).list_topics(timeout=TIMEOUT).topics:
        # A broker might make it, for nobody.
        raise BrokerError(no_topic(topic))
    producer = clients.producer(connection, TIMEOUT)
    failures: list[str] = []
    producer.produce(
        topic,
        encode(message),
        control_key(message),
        on_delivery=lambda error, _: failures.append(error.str()) if error else None,
    )
    if producer.flush(TIMEOUT + 1) or failures:
        raise BrokerError(f"topic {topic!r} did not take the command: {''.join(failures)}")


def add_model(config: Config, message: ModelControl) -> None:
    """Create the topic of a new model, and then publish the command that adds it.

    Raises:
        ValueError: the configuration has the model, or routers would ignore the command.
        BrokerError: the topic cannot be created, or the command was not acknowledged.
    """
    decode_control(encode(message))
    if message.name in config.models:
        raise ValueError(f"the configuration has a model {message.name!r} already")
    registry, topics = read_registry(config), Topics(config.topics.prefix)
    if refusal := registry.take(message):
        raise ValueError(refusal)
    planned = topics.planned(
        [*config.served(), *registry.added],
        config.topics.partitions,
        config.topics.model_partitions,
    )
    routed = [topic for topic in planned if topic.name == topics.routed(message.name)]
    admin = clients.admin(for_librdkafka(config.broker))
    create(admin, routed, config.topics.replicas)
    send_command(config, message)


def read_registry(config: Config) -> Registry:
    """Read all admin commands.

    Raises:
        BrokerError: the topic is missing.
        KafkaException: the broker does not answer.
    """
    logs = Logs(config.broker)
    records = logs.read(logs.spans(Topics(config.topics.prefix).control))
    return Registry.of(records, config.tenant_limits(), config.taken_names())


def with_added_models(
    config: Config, names: Collection[str], environment: Mapping[str, str]
) -> Config:
    """Return a configuration that also has those models of `names` that commands added.

    Args:
        config: the deployment.
        names: of models.
        environment: has the variables that headers of calls refer to.

    Raises:
        ValueError: a variable is not set.
        BrokerError: the topic of commands is missing.
        KafkaException: the broker does not answer.
    """
    added = read_registry(config).added
    models = {
        name: _settings(config, one, environment) for name, one in added.items() if name in names
    }
    return msgspec.structs.replace(config, models={**config.models, **models})


def _settings(
    config: Config, command: ModelControl, environment: Mapping[str, str]
) -> ModelSettings:
    def find(name: str, default: str | None) -> str:
        if (found := environment.get(name, default)) is None:
            rule = f"${{{name}}} in its extra_headers is not set in the environment"
            raise ValueError(f"model {command.name!r}, added by a command: {rule}")
        return found

    def units(nano: int | None) -> Decimal | None:
        return None if nano is None else Decimal(nano) / NANO

    server = command.server or ModelServer()
    own = (
        None if config.budget is not None else ModelBudget(limit=Decimal(command.limit or 0) / NANO)
    )
    return ModelSettings(
        input_price=units(command.input_price) or Decimal(0),
        output_price=units(command.output_price) or Decimal(0),
        cached_input_price=units(command.cached_input_price),
        max_output_tokens=command.max_output_tokens,
        context=command.context,
        image_tokens=command.image_tokens,
        audio_tokens=command.audio_tokens,
        allow_fields=command.allow_fields,
        budget=own,
        retry_uncertain=command.retry_uncertain,
        name=server.name,
        base_url=server.base_url,
        api_key_env=server.api_key_env,
        timeout=server.timeout,
        concurrency=server.concurrency,
        max_tokens_field=server.max_tokens_field,
        extra_body=server.extra_body,
        extra_headers={k: substituted(v, find) for k, v in server.extra_headers.items()},
    )


def account_statuses(config: Config) -> dict[str, AccountStatus]:
    """Read every account's status from `control` and the partitions' changelog.

    Returns:
        The status by account (`account_key`): of each model, followed by the tenants that have a
        limit for it.

    Raises:
        BrokerError: a topic is missing.
        KafkaException: the broker does not answer.
    """
    topics, logs = Topics(config.topics.prefix), Logs(config.broker)
    registry = read_registry(config)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for state in last_states(logs.read(logs.spans(topics.changelog))).values():
        for name, account in state.accounts.items():
            sums[name] = [a + b for a, b in zip(sums[name], account[:3], strict=True)]
    configured = {**configured_limits(config), **config.tenant_limits()}
    known = config.limit_set().extended(registry.added)
    limits = with_tenants(registry.limits(configured), known, sums)
    usable = registry.allotted(configured, config.newcomers.budget)
    models = config.catalog().extended(registry.newcomers()).models
    names = sorted(limits, key=lambda name: (known.index[owner(name)[0]], owner(name)[1] or ""))
    found = {}
    for name in names:
        model, (shares, reserved, spent) = owner(name)[0], sums[name]
        trial = usable[name] if name in registry.added else None
        status, unit = registry.status(model), known.unit_of(name)
        now = AccountStatus(status, limits[name], shares, reserved, spent, trial, unit)
        if status in ("open", "new"):
            limit = known.limits[known.index[model]]
            covered = [one for one in models if limit.covers(one.name)]
            now = replace(now, status=_by_amount(now, covered, config) or status)
        found[name] = now
    return found


def _by_amount(now: AccountStatus, models: Sequence[Model], config: Config) -> str | None:
    """Return "spent" or "low" where an account has too little left, else None.

    Of the models that it covers, the one that draws least counts.
    """
    if now.unit == "requests":
        return None if now.left else "spent"
    if now.unit == "tokens":
        shortest, longest = 2, min(model.max_output_tokens + 1 for model in models)
    else:
        shortest = min(model.cost(1, 1) for model in models)
        longest = min(model.cost(1, model.max_output_tokens) for model in models)
    if now.left < shortest:
        return "spent"
    return "low" if config.reservation.mode == "max" and now.left < longest else None


def configured_limits(config: Config) -> Mapping[str, int]:
    """Return the amounts of limits, as configured; splitting a total needs the index."""
    score = cost = None
    if config.budget is not None and config.budget.split == "weighted":
        manifest = read_manifest(config.index.path)
        saved = load_index(
            config.index.path, embedder=manifest.embedder, dimension=manifest.dimension
        )
        score = np.nanmean(saved.history.scores, axis=0)
        cost = np.nanmean(saved.history.costs, axis=0)
    return config.amounts(score, cost)
