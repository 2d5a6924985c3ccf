"""What must hold of a begun coroutine: it does what `await` would, only sooner."""

from __future__ import annotations

import asyncio

import pytest

from streams.ingest.begun import Begun


async def test_what_does_not_wait_is_done_at_once() -> None:
    """No turn of the event loop is needed."""
    ran: list[str] = []

    async def deliver() -> None:
        ran.append("delivered")

    assert Begun(deliver()).done
    assert ran == ["delivered"]


async def test_what_waits_goes_on_where_it_stopped() -> None:
    """Through futures, bare turns of the loop and errors that it handles, in a task or without."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    ran: list[str] = []

    async def deliver() -> None:
        ran.append("begun")
        ran.append(await told)
        await asyncio.sleep(0)
        try:
            await broken
        except OSError as error:
            ran.append(str(error))
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        ran.append("done")

    begun = Begun(deliver())
    assert not begun.done
    assert ran == ["begun"]
    rest = asyncio.create_task(begun.rest())
    told.set_result("told")
    await asyncio.sleep(0)
    broken.set_exception(OSError("broken"))
    await rest
    assert ran == ["begun", "told", "broken", "done"]


async def test_errors_come_out() -> None:
    """Before the first wait from `Begun`, after it from `rest`."""

    async def fail(first: bool) -> None:
        if not first:
            await asyncio.sleep(0)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Begun(fail(first=True))
    with pytest.raises(OSError, match="disk full"):
        await Begun(fail(first=False)).rest()


async def test_it_can_be_cancelled() -> None:
    """As any coroutine: it cleans up."""
    ran: list[str] = []

    async def deliver() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ran.append("cleaned up")

    rest = asyncio.create_task(Begun(deliver()).rest())
    await asyncio.sleep(0)
    rest.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rest
    assert ran == ["cleaned up"]
