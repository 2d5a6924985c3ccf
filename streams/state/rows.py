"""The records of a partition's changelog: one row per open decision, and one state record.

The state record is the commit: a decision is valid once a state record that covers its offset is
in the changelog. So every prefix of the changelog, whatever kill has cut it off, is a consistent
ledger (invariant I3).
"""

from __future__ import annotations

from msgspec import Struct, field, json
from msgspec.structs import replace

from router.budget.ledger import Accounts
from schemas import Code, Invalid, Receipt
from schemas.wire import Message, Versioned
from streams.kafka.topics import Log as Log

STATE_KEY = b"state"
STATE_BYTES = 64 << 20
"""Size limit of a state record: Sluice writes it itself, so it needs no guard."""
ID_ROW_PREFIX = b"s1"
"""Of rows of recent ids."""
ID_BLOCK_PREFIX = b"s0"
"""Of such rows of older routers, which held more ids."""
FAILOVER_PREFIX = b"f"
"""Of rows of queries that are to go to another model: then comes the key of the failed decision."""
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


class Row(Versioned, frozen=True, kw_only=True):
    """One decided record. Together with the record itself it determines what is published.

    Attributes:
        receipt: The decision.
        refusal: Why the record was rejected, None where it was not.
        window: Begin of the budget window that holds its reservation, where the receipt does not
            tell.
        expired: The reservation was released at its deadline; a late result is still charged.
        held: The query ended at its deadline, and a worker had begun its call: the reservation
            stays until there is a result.
        returned: Expired, for no call could be made in time: the query is decided again.
        too_long: In a row of a query that is to be decided again: it was refused as longer than the
            context of its model's server.
        marked: Sequence of the commit that has marked it so. Without that commit's state record the
            marks do not count. 0 in rows of older routers, where they always do.
        duplicate_of: The decision on the query that has used the id of a duplicate before.
        release_at: Unix seconds at which the reservation is released where no result has come.
            0 in rows of older routers: `deadline_seconds` after the decision.
        start_by: Unix seconds after which no call may start (`Routed.start_by`); 0 as above.
        end_by: Unix seconds at which calls must have ended (`Routed.release_at`); 0 as above.
    """

    receipt: Receipt
    refusal: Refusal | None = None
    window: int = 0
    expired: bool = False
    held: bool = False
    returned: bool = False
    too_long: bool = False
    marked: int = 0
    duplicate_of: str | None = None
    release_at: float = 0.0
    start_by: float = 0.0
    end_by: float = 0.0

    @property
    def is_overdue(self) -> bool:
        """Whether its deadline has passed, and its sender has been told so."""
        return self.expired or self.held

    def marked_by(self, commit: int) -> Row:
        """Return the row as a commit writes it: its marks count with that one's state record."""
        return replace(self, marked=commit) if self.is_overdue and not self.marked else self

    def unmarked(self) -> Row:
        """Return the row as it was before its deadline passed."""
        return replace(self, expired=False, held=False, returned=False, marked=0)


class ReceiptHead(Struct, frozen=True):
    """The fields of a receipt that its deadline depends on, and where its query has gone."""

    decision: str
    decided_at: float
    model: str | None = None
    pool: str | None = None


class RowHead(Struct, frozen=True):
    """The fields of a row that its deadline depends on.

    A partition reads all of its rows when it is loaded, and most of a row are estimates.
    """

    receipt: ReceiptHead
    expired: bool = False
    held: bool = False
    marked: int = 0
    release_at: float = 0.0

    @property
    def is_overdue(self) -> bool:
        """As of the row."""
        return self.expired or self.held


row_head = json.Decoder(RowHead).decode
"""Read the head of a row that `encode` wrote. Raises msgspec.ValidationError for other bytes."""


class Position(Struct):
    """Progress in one log.

    Attributes:
        decided: Last offset that has been decided.
        published: Last offset whose messages are known to have been published.
    """

    decided: int = -1
    published: int = -1


class State(Versioned, frozen=True, kw_only=True):
    """The state of a partition after a commit.

    Attributes:
        queries: Position in the log `queries`.
        deferred: Position in the log `deferred`.
        retried: Of each log, the last offset whose deferred query has been retried.
        settled: Last offset of `results` that has been settled.
        arrivals: Number of queries that were put before the policy.
        sequence: Rises with each commit.
        granted: Sequence of the last grant applied.
        control: Version of the commands that were known (`Receipt.control_version`).
        recent: Number of ids that `recent_ids` has counted.
        accounts: The ledger's accounts by name.
        removed: Keys of rows that this record ends. Their removal follows it in the changelog, and
            is repeated after a kill between the two.
        unpublished_expirations: Keys of expired rows whose rejection may not have been published.
        topics: Ids of the topics that all this refers to, by name (`streams.kafka.topic_ids`).
        partitions: Among how many the limits were divided when the deployment began; 0 in states
            of older routers.
    """

    queries: Position = field(default_factory=Position)
    deferred: Position = field(default_factory=Position)
    retried: dict[Log, int] = field(default_factory=dict, name="readmitted")
    settled: int = -1
    arrivals: int = 0
    sequence: int = 0
    granted: int = 0
    control: int = 0
    recent: int = 0
    accounts: Accounts = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    unpublished_expirations: list[str] = field(default_factory=list, name="untold")
    topics: dict[str, str] = field(default_factory=dict)
    partitions: int = 0


def row_key(log: Log, offset: int) -> str:
    """Return the key of a record's row: ordered within a log as the offsets are."""
    return f"{_PREFIX[log]}{offset:020d}"


def failover_key(key: str) -> str:
    """Return the key of the row that says that the query of an ended row is to be decided again."""
    return FAILOVER_PREFIX.decode() + key


def id_row_key(number: int) -> bytes:
    """Return the key of a row of recent ids."""
    return ID_ROW_PREFIX + b"%06d" % number


def row_position(key: str) -> tuple[Log, int]:
    """Return the log and the offset of a row's key."""
    log: Log = "queries" if key[0] == _PREFIX["queries"] else "deferred"
    return log, int(key[1:])
