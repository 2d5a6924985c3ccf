"""Ends the process on an error that no message is to blame for."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h

_form: Callable[[str], str] = "sluice: stopped: {}".format


def speak(form: Callable[[str], str]) -> None:
    """Have `die` print what `form` makes of the reason."""
    global _form
    _form = form


def die(reason: str) -> NoReturn:
    """Print the reason and exit at once, without clean-up.

    What is not acknowledged is redelivered to whoever takes over, so both skipping and waiting
    are worse than stopping here.
    """
    print(_form(reason), file=sys.__stderr__, flush=True)
    os._exit(EXIT_CODE)


async def or_die(what: str, work: Coroutine[Any, Any, None]) -> None:
    """Await `work`; if it fails, end the process and say that `what` failed."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        die(f"{what} failed: {type(error).__name__}: {error}")
