"""What a partition keeps in its changelog: a row for each open decision, and one state record.

The state record is the commit: a decision counts from the moment that a state record which covers
its offset is in the changelog. So whoever reads the changelog up to any record, after any kill,
finds a ledger that holds (invariant I3).
"""

from __future__ import annotations

from msgspec import Struct, field, json

from router.budget.ledger import Accounts
from schemas import Code, Invalid, Receipt
from schemas.wire import Message
from streams.kafka.topics import Log as Log

STATE_KEY = b"state"
SLOT_PREFIX = b"s0"
ROW_PREFIXES = frozenset((b"q", b"d"))
_PREFIX: dict[Log, str] = {"queries": "q", "deferred": "d"}


class Refusal(Message, frozen=True, kw_only=True):
    """Why a record was rejected, as `schemas.Rejected` will say it."""

    code: Code
    reason: str
    field: str | None = None

    @classmethod
    def of(cls, error: Invalid) -> Refusal:
        """Keep an error's words."""
        return cls(code=error.code, reason=error.reason, field=error.field)

    def error(self) -> Invalid:
        """Give the error back."""
        return Invalid(self.code, self.reason, self.field)


class Row(Message, frozen=True, kw_only=True):
    """One decided record. With the record itself it says all that there is to publish.

    window: begin of the budget window that holds its reservation; expired: the reservation was
    released at the deadline; a late result is still charged.
    """

    receipt: Receipt
    refusal: Refusal | None = None
    window: int = 0
    expired: bool = False


class ReceiptHead(Struct, frozen=True):
    """Of a receipt, what its deadline needs."""

    decision: str
    decided_at: float


class RowHead(Struct, frozen=True):
    """Of a row, what its deadline needs: a partition reads all of its rows when it is loaded, and
    most of a row is its receipt's estimates."""

    receipt: ReceiptHead
    expired: bool = False


row_head = json.Decoder(RowHead).decode
"""Read the head of a row that `encode` wrote. Raises msgspec.ValidationError for other bytes."""


class Position(Struct):
    """How far one log has come. decided: last offset that has been decided; published: last one
    whose messages are known to have left.
    """

    decided: int = -1
    published: int = -1


class State(Message, frozen=True, kw_only=True):
    """A partition as it stands after a chunk.

    readmitted: of each log, the last offset whose deferred query has been looked at again;
    settled: last offset of `results` that has been folded; arrivals: queries that were put before
    the policy; sequence: rises with each commit; granted: sequence of the last grant applied;
    control: version of the orders that were known (`Receipt.control_version`);
    recent: ids that `recent_ids` has counted; removed: keys of rows that this record ends
    (their removal follows it in the changelog, and is repeated where a kill came between);
    untold: keys of rows that have expired, and whose rejection may not have left.
    """

    queries: Position = field(default_factory=Position)
    deferred: Position = field(default_factory=Position)
    readmitted: dict[Log, int] = field(default_factory=dict)
    settled: int = -1
    arrivals: int = 0
    sequence: int = 0
    granted: int = 0
    control: int = 0
    recent: int = 0
    accounts: Accounts = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)


def row_key(log: Log, offset: int) -> str:
    """Return the key of a record's row: ordered within a log as the offsets are."""
    return f"{_PREFIX[log]}{offset:020d}"


def slot_key(slot: int) -> bytes:
    """Return the key of a row of recent ids."""
    return SLOT_PREFIX + b"%06d" % slot


def row_position(key: str) -> tuple[Log, int]:
    """Return the log and the offset of a row's key."""
    log: Log = "queries" if key[0] == _PREFIX["queries"] else "deferred"
    return log, int(key[1:])
