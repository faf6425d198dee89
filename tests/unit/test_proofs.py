"""The parts of `verify` that need no gateway: outcomes, which models cost money, the probe's upstream."""

from __future__ import annotations

import base64
import io
import json
import time
from threading import Event
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import Image

from doubles.server import Answer, Double, Request, running
from llm_gateway.errors import GatewayError, PreconditionError
from llm_gateway.names import PROBE
from llm_gateway.progress import Progress
from llm_gateway.proofs import bench as proofs_bench
from llm_gateway.proofs import cache, catalogue, limits, models, restart, runner, semantic_cache
from llm_gateway.proofs import keys as proof_of_keys
from llm_gateway.proofs.answers import answer_text
from llm_gateway.proofs.base import Evidence, NothingToProve, NotProven, ProviderDown
from llm_gateway.proofs.capture import ANSWER, Capture, capturing
from llm_gateway.proofs.picture import image
from llm_gateway.seeding import litellm
from llm_gateway.seeding.api import AdminApi
from llm_gateway.services.base import Absent, Proof
from llm_gateway.services.probe_model import COMPLETION_TOKENS, PROMPT_TOKENS
from support.ports import free_port
from unit.test_plan import made


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


def test_the_probe_says_what_it_is_told_to(probe):
    capture, client = probe
    capture.say("word19", "Ask Jane.")
    plain = {"messages": [{"role": "user", "content": "word19?"}]}
    assert answer_text(client.post("/chat/completions", json=plain)) == "Ask Jane."
    assert answer_text(client.post("/chat/completions", json={**plain, "stream": True})) == "Ask Jane."
    assert answer_text(client.post("/chat/completions", json={"messages": []})) == ANSWER


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


def test_a_name_that_a_pattern_has_is_asked_when_it_is_named():
    entries = [{"model_name": "openai/*", "litellm_params": {"model": "openai/*"}}, {"model_name": "own"}]
    own, named = catalogue.read(entries, named=["openai/text-embedding-3-small", "nobody", "own"])
    assert (own.name, own.by_pattern) == ("own", False)
    assert (named.name, named.mode, named.paid, named.by_pattern) == (
        "openai/text-embedding-3-small",
        "embedding",
        True,
        True,
    )


class Keys(Double):
    """The part of LiteLLM's admin API that makes and deletes keys; `away` while it does not work."""

    away = False

    def answer(self, request: Request) -> Answer:
        if self.away:
            return Answer(503, {"error": {"message": "no database"}})
        return Answer(body={"key": f"sk-{len(self.requests)}"})


@pytest.fixture
def keys():
    with running(Keys()) as double:
        yield double


@pytest.fixture
def bench(keys):
    with AdminApi(keys.url, "sk-master") as admin:
        yield proofs_bench.Bench(made(flags={"database": "true"}), {}, Capture(), admin, deep=False)


def test_a_bench_removes_what_it_made_and_begins_anew(keys, bench):
    first, common = bench.key(), bench.common_key
    bench.capture.add("/v1/chat/completions", {"prompt": "word"})
    bench.clear()
    assert keys.bodies("/key/delete") == [{"keys": [first, common]}]
    assert bench.capture.seen("word") == []
    assert bench.common_key != common


def test_a_gateway_that_is_away_hides_no_outcome_and_its_keys_are_removed_later(keys, bench):
    key = bench.key()
    keys.away = True
    bench.clear()
    keys.away = False
    bench.clear()
    assert keys.bodies("/key/delete") == [{"keys": [key]}] * 2
    bench.clear()
    assert len(keys.bodies("/key/delete")) == 2


class Asked:
    """A bench whose gateway answers each chat with a status, by the model that was asked."""

    def __init__(self, *, probe: int, other: int = 200, config: dict[str, Any] | None = None) -> None:
        self.statuses, self.config = (probe, other), config or {}
        self.stack = made(flags={"database": "true"})

    nonce = staticmethod(proofs_bench.Bench.nonce)

    def key(self, **_limits: Any) -> str:
        return "sk-1"

    def catalogue(self):
        return catalogue.read([{"model_name": "other"}])

    def chat(self, _prompt: str, *, key: str = "", model: str = PROBE, **_body: Any) -> httpx.Response:
        return httpx.Response(self.statuses[model != PROBE], text="said")


def test_a_provider_that_fails_is_no_refusal_of_a_key():
    with pytest.raises(NotProven, match="not refused other: 500 said"):
        proof_of_keys.prove(Asked(probe=200, other=500))


def test_a_limit_that_refuses_the_very_first_call_is_not_proven():
    with pytest.raises(NotProven, match="very first call was refused"):
        limits._tokens(Asked(probe=429))


@pytest.mark.parametrize(
    ("settings", "outlives"),
    [
        ({}, False),
        ({"cache": False}, False),
        ({"cache": True}, True),
        ({"cache": True, "cache_params": {"type": "local"}}, False),
        ({"cache": True, "cache_params": {"supported_call_types": ["aembedding"]}}, False),
    ],
)
def test_which_caches_are_to_outlive_a_restart(settings, outlives):
    config = {"litellm_settings": settings}
    assert restart._outlives(cache.params(config), config) is outlives


def test_vectors_of_a_semantic_cache_are_announced_when_they_cost_money():
    def paid(kind: str, price: float) -> dict[str, int]:
        settings = {"cache": True, "cache_params": {"type": kind, "redis_semantic_cache_embedding_model": "other"}}
        asked = Asked(probe=200, config={"litellm_settings": settings})
        asked.catalogue = lambda: catalogue.read(
            [{"model_name": "other", "model_info": {"input_cost_per_token": price}}]
        )
        return semantic_cache.paid(asked, ["chat", "semantic-cache"])

    assert paid("redis-semantic", 0.1)["other"] > 0
    assert paid("redis-semantic", 0) == paid("redis", 0.1) == {}


def test_a_user_whose_name_only_holds_the_wanted_one_is_not_taken_for_it():
    class Users(Double):
        def answer(self, request: Request) -> Answer:
            return Answer(body={"users": [{"user_id": f"my-{litellm.USER}"}, {"user_id": "x"}]})

    wanted = next(one for one in litellm.wanted("sk-1") if one.kind == "user")
    with running(Users()) as double, AdminApi(double.url, "sk-master") as admin:
        assert wanted.read(admin, []) is None


def test_ctrl_c_does_not_wait_for_a_proof_that_waits(bench):
    waits = Event()

    def prove(of: Any) -> Evidence:
        waits.set()
        of.sleep(60)
        raise AssertionError("it waited to the end")

    def interrupt(_bench: Any) -> Evidence:
        waits.wait(10)
        raise KeyboardInterrupt

    proofs = [Proof(name, name, lambda *_: None, one) for name, one in (("b", interrupt), ("a", prove))]
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runner.run(bench, proofs, Progress(quiet=True))
    assert time.monotonic() - began < 30


def test_a_model_that_thinks_gets_room_for_it_and_its_thoughts_count_as_text():
    asked = []

    def post(path: str, body: Any, **_: Any) -> httpx.Response:
        asked.append(body["max_tokens"])
        parts = [{"choices": [{"delta": {"reasoning_content": "Hm"}}]}, {"choices": [], "usage": {"total_tokens": 3}}]
        return httpx.Response(200, text="".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n")

    entries = [
        {"model_name": "thinks", "model_info": {"supports_reasoning": True}},
        {"model_name": "talks", "model_info": {"supports_reasoning": None}},
    ]
    for model in catalogue.read(entries):
        bench = SimpleNamespace(post=post, nonce=lambda: "word")
        assert models._on(bench, models._KINDS["stream"], model).tokens == 3
    assert asked == [models.THINKING, models.MAX_TOKENS]
