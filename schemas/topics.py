"""What each topic carries: its messages, keys and headers, who writes it and who reads it."""

from __future__ import annotations

from dataclasses import dataclass

HEADERS = {
    "traceparent": "W3C trace context; where spans are made, of the span that sends",
    "tracestate": "W3C trace state, carried through",
    "sluice-decision": "routed, deferred or rejected",
    "sluice-decision-id": "the decision's id, the same whenever the query is delivered again",
    "sluice-model": "the model that was chosen, empty where there is none",
    "sluice-policy": "the policy that decided",
    "sluice-price-version": "the version of the prices that it decided with",
    "sluice-source-partition": "the query's own partition: results go to that partition number",
}
TRACE = ("traceparent", "tracestate")
DECISION = tuple(HEADERS)


@dataclass(frozen=True)
class Topic:
    """One topic, or one family of topics. `address` comes after the configured prefix."""

    name: str
    address: str
    description: str
    messages: tuple[str, ...]
    key: str
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    headers: tuple[str, ...] = ()
    cleanup: tuple[str, ...] = ("delete",)


TOPICS = (
    Topic(
        "queries",
        "queries",
        "Queries to be routed.",
        ("Query",),
        "the sender's choice (a conversation, a tenant), or the query's id",
        senders=("application",),
        receivers=("router",),
        headers=TRACE,
    ),
    Topic(
        "routed",
        "routed.{model}",
        "Queries for one model, with the output tokens it may use.",
        ("Routed",),
        "the query's id",
        senders=("router",),
        receivers=("worker",),
        headers=DECISION,
    ),
    Topic(
        "results",
        "results",
        "Answers; as many partitions as `queries`, each result on its query's partition number.",
        ("Result",),
        "the query's id",
        senders=("worker",),
        receivers=("router", "application"),
        headers=DECISION,
    ),
    Topic(
        "starts",
        "starts",
        "Calls that are about to be made; partitions as of `results`. Read where a reservation "
        "ends without a result.",
        ("Start",),
        "the query's id",
        senders=("worker",),
        receivers=("router", "worker"),
    ),
    Topic(
        "receipts",
        "receipts",
        "One receipt per decision. With the results, enough to rebuild the ledger.",
        ("Receipt",),
        "the query's id",
        senders=("router",),
        receivers=("auditor",),
        headers=TRACE,
    ),
    Topic(
        "deferred",
        "deferred",
        "Queries that wait because no model is worth its price or no budget can hold them.",
        ("Query",),
        "the query's id",
        senders=("router",),
        receivers=("application",),
        headers=DECISION,
    ),
    Topic(
        "rejected",
        "rejected",
        "Records that were refused, with the reason and their original bytes.",
        ("Rejected",),
        "the record's own key, or none",
        senders=("router",),
        receivers=("application",),
        headers=DECISION,
    ),
    Topic(
        "share-reports",
        "share-reports",
        "Usage of shares by partition, and samples of the estimates. One partition.",
        ("ShareReport",),
        "the partition's number",
        senders=("router",),
        receivers=("controller",),
    ),
    Topic(
        "share-grants",
        "share-grants",
        "The shares that partitions own; as many partitions as `queries`.",
        ("ShareGrant",),
        "the partition's number",
        senders=("controller",),
        receivers=("router",),
        cleanup=("compact", "delete"),
    ),
    Topic(
        "control",
        "control",
        "Runtime commands of an operator. One partition, read from the start.",
        ("ModelControl", "BudgetControl"),
        "budget/, model/ or (where one is added) add/ and the model's name, e.g. model/gpt-4o",
        senders=("operator",),
        receivers=("router", "controller"),
        cleanup=("compact",),
    ),
    Topic(
        "prices",
        "prices",
        "The latest prices of each policy. One partition, read from the start.",
        ("Prices",),
        "the policy's name",
        senders=("controller",),
        receivers=("router",),
        cleanup=("compact",),
    ),
)
