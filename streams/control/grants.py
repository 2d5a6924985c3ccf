"""Agent `grant`: a partition takes over the shares that the controller has given it."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import Invalid, Rejected, ShareGrant, Source
from schemas.wire import decode, encode
from streams.kafka.producer import Outbox
from streams.kafka.records import ConsumedRecord
from streams.kafka.topics import Topics
from streams.state.partition import Partition


class Grants:
    """Applies grants in their order, each once; the changelog has them before a report tells."""

    def __init__(self, outbox: Outbox, topics: Topics) -> None:
        self._outbox = outbox
        self._topics = topics

    async def take(self, partition: Partition, records: Sequence[ConsumedRecord]) -> None:
        """Apply a chunk of grants. One that is old, or comes twice, changes nothing."""
        batch = self._outbox.batch()
        async with partition.lock:
            before = partition.granted
            for record in records:
                try:
                    grant = decode(ShareGrant, record.value)
                except Invalid as error:
                    source = Source(record.topic, record.partition, record.offset)
                    batch.send(
                        self._topics.rejected,
                        encode(Rejected.of(error, record.value, source)),
                        record.key,
                    )
                    continue
                if grant.partition == partition.number:
                    partition.apply_grant(grant)
            await batch.delivered()
            if partition.granted != before:
                await partition.commit({})
