"""The page's routes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.config.settings import Config
from streams.control.commands import read_registry
from streams.page.app import Page
from streams.page.view import View
from streams.serve.keys import hashed
from tests.support.decisions import receipt
from tests.support.front import RunningFront, deploy

KEYS = f"""
[serve.keys.operator]
hash = "{hashed("sesame")}"
[serve.keys.shop]
hash = "{hashed("shop")}"
tenant = "shop"
"""


@contextmanager
def served(config: Config, orders: str | None = None, runs: Path | None = None) -> Iterator[str]:
    """The page's address; one decision is shown."""
    view = View(config, config.amounts())
    view.take_receipt(receipt(1))
    page = Page(config, view, runs, orders)
    with RunningFront(config, page.around) as front:
        yield front.url


@pytest.fixture
def config(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> Config:
    return deploy(tmp_path, prefix, embedded_broker)


def events(url: str, count: int, **headers: str) -> list[tuple[str, Any]]:
    """The first events: names and data."""
    found = []
    with httpx.stream("GET", f"{url}/ui/events", headers=headers) as answer:
        assert answer.status_code == 200
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((name, orjson.loads(line.removeprefix("data: "))))
                if len(found) == count:
                    break
    return found


def test_the_page_and_its_files(config: Config) -> None:
    """Nothing comes from elsewhere, and nothing but the page's files is served."""
    with served(config) as url:
        page = httpx.get(f"{url}/ui/")
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        for name in ("page.js", "page.css", "charts.js", "runs.js", "uplot.min.js", "icon.svg"):
            assert f"/ui/files/{name}" in page.text
            assert httpx.get(f"{url}/ui/files/{name}").status_code == 200
        assert "http://" not in page.text
        assert "https://" not in page.text
        for name in ("app.py", "..%2fapp.py", "%2fetc%2fpasswd"):
            assert httpx.get(f"{url}/ui/files/{name}").status_code == 404
        assert httpx.get(url, follow_redirects=True).url.path == "/ui/"
        assert httpx.get(f"{url}/v1/models").status_code == 200


def test_events(config: Config) -> None:
    """All that is known first, then what is new each second."""
    with served(config) as url:
        (first, body), (second, tick) = events(url, 2)
        assert (first, second) == ("full", "tick")
        assert body["decisions"][0]["id"] == "q1"
        assert body["rows"][0]["sums"]["flow:small"] == 1
        assert tick["rows"] == []


def test_keys(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> None:
    """Where the front has keys the page needs one, and not that of a tenant."""
    config = deploy(tmp_path, prefix, embedded_broker, KEYS)
    with served(config) as url:
        assert httpx.get(f"{url}/ui/events").status_code == 401
        tenant = {"authorization": "Bearer shop"}
        assert httpx.get(f"{url}/ui/runs", headers=tenant).status_code == 401
        assert events(url, 1, authorization="Bearer sesame")


def test_orders_are_off(config: Config) -> None:
    """Unless a key for them is configured."""
    with served(config) as url:
        answer = httpx.post(f"{url}/ui/orders", json={"name": "small", "action": "pause"})
        assert answer.status_code == 403
        assert events(url, 1)[0][1]["orders"] is False


def test_orders(config: Config) -> None:
    """Behind their key they do what the commands do; anything else is refused."""
    with served(config, orders=hashed("sesame")) as url:

        def order(key: str, **body: Any) -> int:
            headers = {"authorization": f"Bearer {key}"}
            return httpx.post(f"{url}/ui/orders", json=body, headers=headers).status_code

        assert order("guess", name="small", action="pause") == 401
        assert order("sesame", name="small", action="remove") == 400
        assert order("sesame", name="nobody", action="pause") == 404
        assert order("sesame", name="small", action="limit") == 400
        assert order("sesame", name="small", action="limit", limit=2**63) == 400
        assert order("sesame", name="small", action="limit", limit=1, tenant="a\tb") == 400
        for body in (b"", b"pause", b"\xff", b"[" * 5000):
            headers = {"authorization": "Bearer sesame"}
            answer = httpx.post(f"{url}/ui/orders", content=body, headers=headers)
            assert answer.status_code == 400, body[:10]
        assert read_registry(config).version == 0
        assert order("sesame", name="small", action="pause") == 200
        assert order("sesame", name="large", action="limit", limit=7, tenant="shop") == 200
    registry = read_registry(config)
    assert registry.status("small") == "paused"
    assert registry.limits(config.amounts())["large\tshop"] == 7


def test_saved_evaluations(config: Config, tmp_path: Path) -> None:
    """Files of one folder, and of no other."""
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "a.json").write_text('{"rows": []}')
    (tmp_path / "b.json").write_text("{}")
    with served(config, runs=runs) as url:
        assert httpx.get(f"{url}/ui/runs").json() == ["a.json"]
        assert httpx.get(f"{url}/ui/runs/a.json").json() == {"rows": []}
        assert httpx.get(f"{url}/ui/runs/..%2fb.json").status_code == 404
