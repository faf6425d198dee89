"""The parts of `verify` that need no gateway: outcomes, which models cost money, the probe's upstream."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from llm_gateway.errors import GatewayError, PreconditionError
from llm_gateway.names import PROBE
from llm_gateway.progress import Progress
from llm_gateway.proofs import catalogue, runner
from llm_gateway.proofs.base import Evidence, NothingToProve, NotProven, ProviderDown
from llm_gateway.proofs.capture import ANSWER, capturing
from llm_gateway.proofs.models import image
from llm_gateway.services.base import Absent, Proof
from llm_gateway.services.probe_model import COMPLETION_TOKENS, PROMPT_TOKENS
from support.ports import free_port


class Bench:
    """As much of a bench as the runner looks at."""

    stack = config = None


def outcome(raised: Exception | None = None, absent: Absent | None = None) -> runner.Outcome:
    def prove(_bench: Any) -> Evidence:
        if raised:
            raise raised
        return Evidence("seen", {"id": "1"})

    proof = Proof("thing", "a thing", lambda _stack, _config: absent, prove)
    (done,) = runner.run(Bench(), [proof], Progress(quiet=True))
    return done


@pytest.mark.parametrize(
    ("raised", "state", "text"),
    [
        (None, "proven", "seen"),
        (NothingToProve("nothing there"), "off", "nothing there"),
        (NotProven("broken", cause="c", next="n"), "not proven", "broken"),
        (ProviderDown("away", cause="c", next="n"), "unavailable", "away"),
        (GatewayError("E999", "no", cause="c", next="n"), "not proven", "E999 no"),
        (httpx.ConnectError("refused"), "not proven", "The gateway did not answer: refused."),
        (KeyError("spend"), "not proven", "The proof itself failed: KeyError('spend')"),
    ],
)
def test_whatever_a_proof_ends_with_is_an_outcome(raised, state, text):
    done = outcome(raised)
    assert (done.state, done.text) == (state, text)
    if state in {"not proven", "unavailable"}:
        assert done.cause
        assert done.next


def test_what_is_absent_is_not_tried():
    done = outcome(AssertionError("tried"), Absent("unavailable", "no server", next="add one"))
    assert (done.state, done.text, done.next) == ("unavailable", "no server", "add one")


def test_every_capability_has_one_proof_and_the_deep_ones_come_last():
    proofs = runner.all_proofs()
    names = [proof.capability for proof in proofs]
    assert len(set(names)) == len(names)
    deep = [proof.deep for proof in proofs]
    assert deep == sorted(deep)
    assert all(proof.title for proof in proofs)


@pytest.mark.parametrize(
    ("params", "info", "paid"),
    [
        ({"model": "openai/gpt-4o"}, {"input_cost_per_token": 0.1}, True),
        ({"model": "openai/gpt-4o"}, {}, True),
        ({"model": "openai/x", "mock_response": "canned"}, {"input_cost_per_token": 0.1}, False),
        ({"model": "openai/x"}, {"input_cost_per_token": 0, "output_cost_per_token": 0}, False),
        ({"model": "ollama/llama3"}, {}, False),
        ({"model": "openai/x", "api_base": "http://localhost:8000/v1"}, {}, False),
        ({"model": "openai/x", "api_base": "http://10.0.0.7:8000/v1"}, {}, False),
        ({"model": "openai/x", "api_base": "https://models.example.com/v1"}, {}, True),
    ],
)
def test_which_calls_cost_money(params, info, paid):
    (model,) = catalogue.read([{"model_name": "m", "litellm_params": params, "model_info": info}])
    assert model.paid is paid


def test_only_models_that_can_be_asked_by_name_are_asked():
    names = ["a", "b", "a", "*", "openai/*", PROBE]
    read = catalogue.read([{"model_name": name, "model_info": {"mode": "embedding"}} for name in names])
    assert [(model.name, model.mode) for model in read] == [("a", "embedding"), ("b", "embedding")]


def test_the_picture_is_one():
    head, _, data = image().partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (head, picture.size, picture.getpixel((5, 5))) == ("data:image/png;base64", (32, 32), (255, 0, 0))


@pytest.fixture
def probe():
    port = free_port()
    with (
        capturing(port) as capture,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", trust_env=False) as client,
    ):
        yield capture, client


def test_the_probe_keeps_what_it_got_and_says_its_usage(probe):
    capture, client = probe
    question = {"messages": [{"role": "user", "content": "Grüße an wort17"}]}
    first, second = (client.post("/chat/completions", json=question).json() for _ in range(2))
    assert first["choices"][0]["message"]["content"] == ANSWER
    assert first["usage"]["total_tokens"] == PROMPT_TOKENS + COMPLETION_TOKENS
    assert first["id"] != second["id"]
    assert [(seen.path, seen.body) for seen in capture.seen("Grüße")] == [("/v1/chat/completions", question)] * 2
    assert capture.seen("wort18") == []


@pytest.mark.parametrize("route", ["/chat/completions", "/completions", "/responses"])
def test_the_probe_streams(probe, route):
    _, client = probe
    answer = client.post(route, json={"stream": True, "stream_options": {"include_usage": True}})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert answer.headers["content-type"] == "text/event-stream"
    usages = [event.get("usage") or (event.get("response") or {}).get("usage") for event in events]
    assert [usage["total_tokens"] for usage in usages if usage] == [PROMPT_TOKENS + COMPLETION_TOKENS]
    assert "".join(ANSWER.split()) in "".join(
        "".join(_text(event).split()) for event in events if event.get("type") != "response.output_text.done"
    )


def _text(event: dict[str, Any]) -> str:
    choice = (event.get("choices") or [{}])[0]
    return (choice.get("delta") or {}).get("content") or choice.get("text") or event.get("delta") or ""


def test_vectors_of_like_texts_are_closer(probe):
    _, client = probe
    texts = ["how warm is it in rome", "how warm is it in rome today", "sell my blue bicycle quickly"]
    vectors = [entry["embedding"] for entry in client.post("/embeddings", json={"input": texts}).json()["data"]]
    like, unlike = (sum(a * b for a, b in zip(vectors[0], other, strict=True)) for other in vectors[1:])
    assert like > 0.9 > unlike


def test_the_probe_refuses_what_it_does_not_know(probe):
    _, client = probe
    assert client.post("/images/generations", json={}).status_code == 404
    assert client.post("/chat/completions", content=b"{").status_code == 404


def test_a_taken_port_is_said():
    port = free_port()
    with capturing(port), pytest.raises(PreconditionError, match=f"E702 Port {port}"), capturing(port):
        pass
