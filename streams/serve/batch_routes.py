"""OpenAI's /v1/files and /v1/batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from streams.serve.batch_records import (
    BATCH,
    FILE,
    UNFINISHED,
    StoredBatch,
    StoredFile,
    new_id,
)
from streams.serve.batch_store import Store
from streams.serve.batch_worker import checked_window, endpoint_known
from streams.serve.bounds import body_parts, read_body
from streams.serve.errors import ApiError, read_as
from streams.serve.keys import Caller

LARGEST_FILE = 200_000_000
"""Bytes."""
UPLOAD_SECONDS = 600.0
COPY = 1 << 20
MOST_METADATA = 16
MOST_FILES, MOST_BATCHES, BATCHES = 10_000, 100, 20
"""On a page of a list: at most, and of batches where the request does not say. As OpenAI has it."""


class BatchRoutes:
    """Endpoints over a store."""

    def __init__(self, store: Store, body_seconds: float) -> None:
        """body_seconds: in which the body of a request other than an upload must arrive."""
        self._store, self._seconds = store, body_seconds

    async def upload(self, request: Request, caller: Caller) -> Response:
        """POST /v1/files."""
        parts = body_parts(request, LARGEST_FILE, UPLOAD_SECONDS)
        try:
            form = await MultiPartParser(request.headers, parts, max_files=1).parse()
        except (MultiPartException, KeyError) as error:
            lacks = "the header Content-Type is missing"
            why = lacks if isinstance(error, KeyError) else str(error)
            words = f"the body is no multipart form: {why}"
            raise ApiError(400, "invalid_form", words, "file") from None
        try:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile):
                raise ApiError(400, "missing_field", "file: it is required", "file")
            if purpose != "batch":
                raise ApiError(400, "invalid_field", "purpose: it must be batch", "purpose")
            name = (file.filename or "batch.jsonl")[:256]
            return _json(
                await self._store.add_file(file.file, name, purpose, caller.name, new_id(FILE))
            )
        finally:
            await form.close()

    async def files(self, request: Request, caller: Caller) -> Response:
        """GET /v1/files."""
        if after := request.query_params.get("after"):
            await self._file(after, caller)
        found = self._store.files(caller.name)
        if purpose := request.query_params.get("purpose"):
            found = [file for file in found if file.purpose == purpose]
        return _page(found, request, MOST_FILES, MOST_FILES)

    async def file(self, request: Request, caller: Caller) -> Response:
        """GET /v1/files/{id}."""
        return _json(await self._file(request.path_params["id"], caller))

    async def content(self, request: Request, caller: Caller) -> Response:
        """GET /v1/files/{id}/content."""
        file = await self._file(request.path_params["id"], caller)
        parts = self._store.content.parts(file.id)
        try:
            first = await asyncio.to_thread(next, parts, b"")
        except FileNotFoundError:
            raise _no_file(file.id) from None
        length = {"content-length": str(file.bytes)}
        whole = chain((first,), parts)
        return StreamingResponse(whole, headers=length, media_type="application/jsonl")

    async def delete(self, request: Request, caller: Caller) -> Response:
        """DELETE /v1/files/{id}."""
        file = await self._file(request.path_params["id"], caller)
        used = (b for b in self._store.batches(caller.name) if b.status in UNFINISHED)
        if any(batch.input_file_id == file.id for batch in used):
            raise ApiError(409, "file_in_use", "a batch is reading the file")
        await self._store.delete_file(file)
        return JSONResponse({"id": file.id, "object": "file", "deleted": True})

    async def create(self, request: Request, caller: Caller) -> Response:
        """POST /v1/batches."""
        asked = read_as(dict[str, Any], await read_body(request, COPY, self._seconds))
        if not endpoint_known(asked.get("endpoint")):
            words = "endpoint: it must be /v1/chat/completions"
            raise ApiError(400, "invalid_field", words, "endpoint")
        window = checked_window(asked.get("completion_window"))
        if window is None:
            words = "completion_window: it must be as 24h, 90m or 7d, at most 30d"
            raise ApiError(400, "invalid_field", words, "completion_window")
        metadata = asked.get("metadata")
        if metadata is not None and not _is_metadata(metadata):
            words = f"metadata: it must be an object of at most {MOST_METADATA} strings, "
            words += "their names up to 64 characters and they up to 512"
            raise ApiError(400, "invalid_field", words, "metadata")
        file_id = asked.get("input_file_id")
        if not isinstance(file_id, str):
            words = "input_file_id: it must be the id of a file that was uploaded"
            raise ApiError(400, "missing_field", words, "input_file_id")
        file = await self._file(file_id, caller, "input_file_id")
        now = int(time.time())
        batch = StoredBatch(
            id=new_id(BATCH),
            input_file_id=file.id,
            endpoint=asked["endpoint"],
            completion_window=asked["completion_window"],
            created_at=now,
            expires_at=now + window,
            owner=caller.name,
            tenant=caller.tenant,
            metadata=metadata,
        )
        await self._store.save(batch)
        return _json(batch)

    async def batches(self, request: Request, caller: Caller) -> Response:
        """GET /v1/batches."""
        if after := request.query_params.get("after"):
            await self._batch(after, caller)
        return _page(self._store.batches(caller.name), request)

    async def batch(self, request: Request, caller: Caller) -> Response:
        """GET /v1/batches/{id}."""
        return _json(await self._batch(request.path_params["id"], caller))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """POST /v1/batches/{id}/cancel."""
        batch = await self._batch(request.path_params["id"], caller)
        if batch.status in UNFINISHED:
            await self._store.cancel(batch.id)
        return _json(await self._batch(batch.id, caller))

    async def _file(self, id: str, caller: Caller, param: str = "id") -> StoredFile:
        file = await self._store.file(id, caller.name)
        if file is None:
            raise _no_file(id, param)
        return file

    async def _batch(self, id: str, caller: Caller) -> StoredBatch:
        batch = await self._store.batch(id, caller.name)
        if batch is None:
            raise ApiError(404, "batch_not_found", f"there is no batch {id[:100]!r}", "id")
        return batch


def _no_file(id: str, param: str = "id") -> ApiError:
    return ApiError(404, "file_not_found", f"there is no file {id[:100]!r}", param)


def _is_metadata(value: object) -> bool:
    """Whether a value is metadata as OpenAI bounds them: every process keeps them in memory."""
    return (
        isinstance(value, Mapping)
        and len(value) <= MOST_METADATA
        and all(isinstance(v, str) and len(k) <= 64 and len(v) <= 512 for k, v in value.items())
    )


def _plain(value: StoredFile | StoredBatch) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(value)
    return {name: each for name, each in found.items() if name not in ("owner", "tenant")}


def _json(value: StoredFile | StoredBatch) -> Response:
    return JSONResponse(_plain(value))


def _page(
    values: Sequence[StoredFile | StoredBatch],
    request: Request,
    most: int = MOST_BATCHES,
    usual: int = BATCHES,
) -> Response:
    """A page of a list: `limit` of those that come after the id `after`, in `order`.

    Args:
        values: The newest first.
        request: Whose query string says what is wanted.
        most: Values on a page.
        usual: The same where the request does not say.

    Raises:
        ApiError: `limit` is no number, `order` neither asc nor desc, or `after` not in the list.
    """
    asked, order = request.query_params.get("limit"), request.query_params.get("order", "desc")
    if asked is not None and not (asked.isdecimal() and int(asked[:9]) > 0):
        words = f"limit: it must be a whole number from 1 to {most}"
        raise ApiError(400, "invalid_field", words, "limit")
    if order not in ("asc", "desc"):
        raise ApiError(400, "invalid_field", "order: it must be asc or desc", "order")
    limit = usual if asked is None else min(int(asked[:9]), most)
    ordered = values if order == "desc" else values[::-1]
    ids = [value.id for value in ordered]
    after = request.query_params.get("after")
    if after and after not in ids:
        raise ApiError(400, "invalid_field", "after: the list does not hold it", "after")
    first = ids.index(after) + 1 if after else 0
    shown = ordered[first : first + limit]
    return JSONResponse(
        {
            "object": "list",
            "data": [_plain(value) for value in shown],
            "first_id": shown[0].id if shown else None,
            "last_id": shown[-1].id if shown else None,
            "has_more": first + limit < len(ordered),
        }
    )
