"""The wire: what travels between processes. Knows nothing of Kafka, numpy or policies."""

from schemas.control import BudgetControl, Control, ModelControl, decode_control
from schemas.fields import Source, Window
from schemas.invalid import Code, Invalid
from schemas.price import Prices
from schemas.query import Query
from schemas.receipt import Receipt
from schemas.rejected import Rejected, read_id
from schemas.result import Failure, Result, Usage
from schemas.route import Routed
from schemas.share import ShareGrant, ShareReport, ShareUse
from schemas.start import Start
from schemas.wire import Message, decode, encode

__all__ = [
    "BudgetControl",
    "Code",
    "Control",
    "Failure",
    "Invalid",
    "Message",
    "ModelControl",
    "Prices",
    "Query",
    "Receipt",
    "Rejected",
    "Result",
    "Routed",
    "ShareGrant",
    "ShareReport",
    "ShareUse",
    "Source",
    "Start",
    "Usage",
    "Window",
    "decode",
    "decode_control",
    "encode",
    "read_id",
]
