"""The end of a process for a reason that is not a message's fault."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h


def die(reason: str) -> NoReturn:
    """Say why and end at once, without a clean-up.

    What is not acknowledged comes again to whoever takes over, so skipping and waiting are both
    worse than stopping here.
    """
    print(f"sluice: stopped: {reason}", file=sys.__stderr__, flush=True)
    os._exit(EXIT_CODE)


async def or_die(what: str, work: Coroutine[Any, Any, None]) -> None:
    """Await `work`; if it fails, end the process and name what was being done."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        die(f"{what} failed: {type(error).__name__}: {error}")
