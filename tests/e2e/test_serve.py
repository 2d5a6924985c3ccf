"""OpenAI's own client, and curl, on a whole system with a real Kafka."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
import pytest
from click.testing import CliRunner

from streams.brokers.kafka import KafkaServer
from streams.cli import main
from tests.support.front import free_port
from tests.support.patience import PATIENCE
from tests.support.serving import Serving

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "serve-openai-clients.md"


@pytest.fixture(scope="module")
def system(
    kafka_broker: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    with Serving(kafka_broker, tmp_path_factory.mktemp("serve"), "serve.") as system:
        system.begin()
        yield system


@pytest.mark.kafka
async def test_openai(system: Serving) -> None:
    """200 requests at once, then a streamed one: each gets its own words, and all is settled to
    the nano-unit that the answers said."""
    url = f"{system.url()}/v1"
    settings: dict[str, Any] = {"base_url": url, "max_retries": 0, "timeout": PATIENCE}
    async with openai.AsyncOpenAI(api_key="none", **settings) as client:

        async def ask(number: int) -> tuple[str, int]:
            words = f"question number {number}"
            answer = await client.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": words}], max_tokens=20
            )
            assert answer.choices[0].message.content == words
            assert answer.model in system.models
            assert answer.model_extra is not None
            return answer.model_extra["sluice"]["id"], answer.model_extra["sluice"]["cost"]

        answers = await asyncio.gather(*map(ask, range(200)))
        assert len({id for id, _ in answers}) == 200
        assert all(cost > 0 for _, cost in answers)
        stream = await client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "as a stream"}],
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
        )
        said, last = "", 0
        async for chunk in stream:
            last = (chunk.model_extra or {})["sluice"]["cost"]
            said += "".join(choice.delta.content or "" for choice in chunk.choices)
        assert said == "as a stream"
    expected = sum(cost for _, cost in answers) + last
    system.wait("the settlement", lambda: system.spent() == expected)


@pytest.mark.kafka
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(system: Serving) -> None:
    """Every curl line of the how-to page gets an answer."""
    blocks = re.findall(r"```bash\n(curl.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        line = block.replace("http://127.0.0.1:8080", system.url())
        line = line.replace("curl ", "curl -f ", 1)
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        assert '"object"' in done.stdout


@pytest.mark.kafka
def test_a_killed_batch_run(system: Serving, tmp_path: Path) -> None:
    """`sluice batch run` is killed and given again: every line is answered once, and each was
    decided once."""
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    count = 300
    body = {"model": "auto", "max_tokens": 20}
    with file.open("wb") as data:
        for number in range(count):
            messages = [{"role": "user", "content": f"line {number}"}]
            line = {"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions"}
            data.write(orjson.dumps({**line, "body": {**body, "messages": messages}}) + b"\n")
    command = ["batch", "run", str(file), "--config", str(system.config), "--out", str(out)]
    system.run("batch", *command, "--in-flight", "10")
    system.wait("some lines", lambda: out.exists() and out.read_bytes().count(b"\n") > 20)
    system.kill("batch")
    assert out.read_bytes().count(b"\n") < count, "the test has lost its point"
    done = CliRunner().invoke(main, command, env={"SLUICE_BROKER": system.broker.servers})
    assert done.exit_code == 0, done.output
    assert f"{count} answered" in done.output
    told = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert sorted(each["custom_id"] for each in told) == sorted(f"c{n}" for n in range(count))
    for each in told:
        words = each["response"]["body"]["choices"][0]["message"]["content"]
        assert words == f"line {each['custom_id'][1:]}"
    ids = {each["id"] for each in told}
    decided = [record.json() for record in system.read(system.topics.receipts)]
    decisions = {each["decision_id"] for each in decided if each["id"] in ids}
    assert len(decisions) == count


MASTER_KEY = "sk-of-this-test-" + uuid.uuid4().hex
"""LiteLLM does not start without one, or with a short one."""
LITELLM = """
model_list:
  - model_name: routed
    litellm_params:
      model: openai/auto
      api_base: {url}/v1
      api_key: none
"""


@pytest.fixture(scope="module")
def litellm(system: Serving) -> Iterator[openai.OpenAI]:
    """LiteLLM's proxy before the front, for whoever has installed the extra `litellm`."""
    command = shutil.which("litellm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if command is None:
        pytest.skip("needs LiteLLM's proxy: pip install 'sluice-llm[litellm]'")
    file, port = system.folder / "litellm.yaml", free_port()
    file.write_text(LITELLM.format(url=system.url()))
    # Without this it fetches a list of prices when it starts.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment["LITELLM_MASTER_KEY"] = MASTER_KEY
    with (system.folder / "litellm.log").open("wb") as log:
        proxy = subprocess.Popen(
            [command, "--config", str(file), "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            env=environment,
        )
    try:

        def alive() -> bool:
            assert proxy.poll() is None, (system.folder / "litellm.log").read_text()[-3000:]
            try:
                return httpx.get(f"http://127.0.0.1:{port}/health/liveliness").is_success
            except httpx.TransportError:
                return False

        system.wait("LiteLLM's proxy", alive)
        url = f"http://127.0.0.1:{port}/v1"
        yield openai.OpenAI(base_url=url, api_key=MASTER_KEY, timeout=PATIENCE)
    finally:
        proxy.terminate()
        proxy.wait(PATIENCE)


@pytest.mark.kafka
def test_litellm(system: Serving, litellm: openai.OpenAI) -> None:
    """Through LiteLLM's proxy, answers and streams are the models', and errors keep their kind."""
    asked: list[openai.types.chat.ChatCompletionMessageParam]
    asked = [{"role": "user", "content": "by way of a proxy"}]
    create = litellm.chat.completions.create
    answer = create(model="routed", messages=asked, max_tokens=20)
    assert answer.choices[0].message.content == "by way of a proxy"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    words = [
        chunk.choices[0].delta.content or ""
        for chunk in create(model="routed", messages=asked, max_tokens=20, stream=True)
        if chunk.choices
    ]
    assert "".join(words) == "by way of a proxy"
    with pytest.raises(openai.BadRequestError):
        create(model="routed", messages=asked, max_tokens=-1)
