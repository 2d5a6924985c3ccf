"""What is known of files and batches, in OpenAI's words: the values of the topic `batches`."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

UNFINISHED = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
FILE, BATCH = "file-", "batch_"
"""How ids begin."""


class StoredFile(msgspec.Struct, kw_only=True):
    """A file, as OpenAI describes it. owner: name of the key that it belongs to."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    owner: str
    object: str = "file"
    status: str = "processed"


class Counts(msgspec.Struct, kw_only=True):
    """Requests of a batch."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class StoredBatch(msgspec.Struct, kw_only=True):
    """A batch, as OpenAI describes it. owner, tenant: whose it is, and on whose behalf."""

    id: str
    input_file_id: str
    endpoint: str
    completion_window: str
    created_at: int
    expires_at: int
    owner: str
    tenant: str | None = None
    object: str = "batch"
    status: str = "validating"
    errors: dict[str, Any] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: Counts = msgspec.field(default_factory=Counts)
    metadata: dict[str, str] | None = None


def new_id(begins: str) -> str:
    """Draw an id."""
    return begins + uuid.uuid4().hex
