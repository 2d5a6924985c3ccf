"""Drives Debian's headless Chromium over its own protocol (CDP), for tests of the page."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.patience import PATIENCE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)"
)


class Tab:
    """One page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket, self._session = socket, session
        self._number = 0
        self.errors: list[str] = []
        """What the page has logged as errors."""

    async def send(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol."""
        self._number += 1
        await self._socket.send_json(
            {
                "id": self._number,
                "method": method,
                "params": parameters,
                "sessionId": self._session,
            }
        )
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self._socket.receive_json()
                if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                    self.errors.append(str(answer["params"]))
                if answer.get("id") == self._number:
                    assert "error" not in answer, answer["error"]
                    return answer["result"]

    async def size(self, width: int, height: int, dark: bool) -> None:
        """Be as wide as a screen, in its colours."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def open(self, url: str) -> None:
        """Go to an address."""
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """Return the value of an expression."""
        done = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    async def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(PATIENCE):
            while not await self.run(f"Boolean({condition})"):
                await asyncio.sleep(0.1)

    async def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key. text: what it types."""
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                text=text,
            )

    async def picture(self, file: Path, most: int = 4000) -> None:
        """Write the whole page as a PNG. most: pixels of its height."""
        height = min(int(await self.run("document.documentElement.scrollHeight")), most)
        width = int(await self.run("innerWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = await self.send(
            "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True
        )
        file.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def browser() -> AsyncIterator[Tab]:
    """Start a browser with a folder of its own; it ends with the context."""
    assert CHROMIUM is not None
    folder = Path(tempfile.mkdtemp(prefix="sluice-browser-"))
    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = await _address(folder)
        async with (
            aiohttp.ClientSession() as web,
            web.ws_connect(address, max_msg_size=0) as socket,
        ):
            await socket.send_json(
                {
                    "id": 0,
                    "method": "Target.createTarget",
                    "params": {"url": "about:blank"},
                }
            )
            target = (await _answer(socket, 0))["targetId"]
            await socket.send_json(
                {
                    "id": -1,
                    "method": "Target.attachToTarget",
                    "params": {"targetId": target, "flatten": True},
                }
            )
            yield Tab(socket, (await _answer(socket, -1))["sessionId"])
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _address(folder: Path) -> str:
    file = folder / "DevToolsActivePort"
    async with asyncio.timeout(PATIENCE):
        while not file.exists() or file.read_text().count("\n") < 1:
            await asyncio.sleep(0.1)
    port, path = file.read_text().split("\n")[:2]
    return f"ws://127.0.0.1:{port}{path}"


async def _answer(socket: aiohttp.ClientWebSocketResponse, number: int) -> Any:
    async with asyncio.timeout(PATIENCE):
        while (answer := await socket.receive_json()).get("id") != number:
            pass
    return answer["result"]
