"""The cache on a real gateway: whose entries, which stores, and what `verify` says of each that was broken."""

from __future__ import annotations

import math
import platform
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from moto.server import ThreadedMotoServer

from doubles.server import running
from llm_gateway.discovery import search_modules
from llm_gateway.paths import Home as Paths
from support.counting import Counting
from support.home import Home, home
from support.ports import free_port
from support.redis import redis_server
from support.redis_stack import search_module
from support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TEXT = [{"role": "user", "content": "Hello"}]
_STREAMED = [{"role": "user", "content": "Hello, word by word"}]
_GOOGLE = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
# Every kind of call that LiteLLM caches, natively and through its bridges between the providers' interfaces.
ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": _TEXT}),
    "chat streamed": ("/v1/chat/completions", {"model": "m", "messages": _STREAMED, "stream": True}),
    "completions": ("/v1/completions", {"model": "m", "prompt": "Hello"}),
    "completions streamed": ("/v1/completions", {"model": "m", "prompt": "Hello, slowly", "stream": True}),
    "embeddings": ("/v1/embeddings", {"model": "embed", "input": "Hello"}),
    "embeddings, several": ("/v1/embeddings", {"model": "embed", "input": ["Hello", "you"]}),
    "messages": ("/v1/messages", {"model": "claude", "max_tokens": 9, "messages": _TEXT}),
    "messages streamed": ("/v1/messages", {"model": "claude", "max_tokens": 9, "messages": _STREAMED, "stream": True}),
    "messages by OpenAI": ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": _TEXT}),
    "messages by OpenAI, streamed": (
        "/v1/messages",
        {"model": "m", "max_tokens": 9, "messages": _STREAMED, "stream": True},
    ),
    "messages by vLLM": ("/v1/messages", {"model": "vllm", "max_tokens": 9, "messages": _TEXT}),
    "responses": ("/v1/responses", {"model": "m", "input": "Hello"}),
    "responses streamed": ("/v1/responses", {"model": "m", "input": "Hello, slowly", "stream": True}),
    "responses by vLLM": ("/v1/responses", {"model": "vllm", "input": "Hello"}),
    "responses by Anthropic": ("/v1/responses", {"model": "claude", "input": "Hello"}),
    "Google": ("/v1beta/models/m:generateContent", _GOOGLE),
}


def _config(upstream: Counting, **settings: Any) -> dict[str, Any]:
    models = [
        upstream.model("m"),
        upstream.model("claude", model="anthropic/claude-x"),
        upstream.model("vllm", model="hosted_vllm/vllm"),
        upstream.model("embed", model_info={"mode": "embedding"}),
    ]
    return {"model_list": models, **({"litellm_settings": settings} if settings else {})}


class Caller:
    """One key at the gateway."""

    def __init__(self, made: Home, key: str, upstream: Counting) -> None:
        self.made, self.key, self.upstream = made, key, upstream

    def call(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        answer = self.made.api("POST", path, self.key, json=body)
        assert answer.status_code == 200, (path, answer.text)
        return answer

    def is_hit(self, path: str, body: Mapping[str, Any]) -> bool:
        before = len(self.upstream.requests)
        self.call(path, body)
        return len(self.upstream.requests) == before

    def hits(self, path: str, body: Mapping[str, Any]) -> None:
        eventually(lambda: self.is_hit(path, body), seconds=5, what=f"a hit on {path}")


def verified(made: Home, *names: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """The outcomes of `verify` by capability."""
    return {one["capability"]: one for one in made.ask("verify", *names, code=code)["data"]["capabilities"]}


def not_proven(made: Home, name: str = "cache") -> dict[str, Any]:
    outcome = verified(made, name, code=1)[name]
    assert outcome["state"] == "not proven"
    assert outcome["cause"]
    assert outcome["next"]
    return outcome


@contextmanager
def started(upstream: Counting, *flags: str, arguments: tuple[str, ...] = (), **settings: Any) -> Iterator[Home]:
    with home(*flags, config=None) as made:
        config = made.root / "mine.yaml"
        config.write_text(yaml.safe_dump(_config(upstream, **settings)))
        made.start("--config", str(config), *arguments)
        yield made


def reloaded(made: Home, upstream: Counting, *arguments: str, **settings: Any) -> None:
    (made.root / "mine.yaml").write_text(yaml.safe_dump(_config(upstream, **settings)))
    made.ask("reload", *arguments)


@pytest.fixture(scope="module")
def counting() -> Iterator[Counting]:
    with running(Counting()) as upstream:
        yield upstream


@pytest.mark.needs("redis", "postgres")
def test_each_key_is_answered_from_its_own_calls_on_every_route(counting: Counting) -> None:
    with started(counting, "LLM_GATEWAY_WORKERS=2") as made:
        master = made.values()["LITELLM_MASTER_KEY"]
        teams = [made.api("POST", "/team/new", master, json={}).json()["team_id"] for _ in range(2)]
        first, mate = (Caller(made, made.new_key(master, team_id=teams[0]), counting) for _ in range(2))
        other = Caller(made, made.new_key(master, team_id=teams[1]), counting)
        shared = {}
        for name, (path, body) in ROUTES.items():
            first.call(path, body)
            first.hits(path, body)
            shared[name] = mate.is_hit(path, body)
        assert not any(shared.values()), shared
        _cannot_be_entered(first, other)
        evidence = verified(made, "cache")["cache"]
        assert evidence["state"] == "proven"
        assert "its entry is in Redis" in evidence["text"]
        assert "another key does not get it (scope key)" in evidence["text"]
        assert evidence["data"]["entry"].startswith("key-")

        chat = ROUTES["chat"]
        assert all(first.is_hit(*chat) for _ in range(6))  # on both workers
        made.ask("reload", "--cache-scope", "team")
        first.call(*chat)
        mate.hits(*chat)
        assert not other.is_hit(*chat)
        # Seed 004's semantic cache, on a Redis that cannot search: plain caching, and said so.
        seed = {"type": "redis-semantic", "similarity_threshold": 0.9, "redis_semantic_cache_use_async": True}
        reloaded(made, counting, "--cache-scope", "shared", cache=True, cache_params=seed)
        assert any("no search module" in warning for warning in made.ask("plan")["warnings"])
        first.call(*chat)
        other.hits(*chat)
        assert "another key gets it, too (scope shared)" in verified(made, "cache")["cache"]["text"]

        (made.root / "undo.py").write_text(_UNDO)
        reloaded(made, counting, "--cache-scope", "key", callbacks=["undo.undo"])
        assert "Another key was answered with this key's answer" in not_proven(made)["text"]


# A callback of a person's own that takes out what the kit's hook has put in.
_UNDO = """\
from litellm.integrations.custom_logger import CustomLogger
class Undo(CustomLogger):
    async def async_pre_call_deployment_hook(self, kwargs, call_type):
        return {**kwargs, "cache": {}}
undo = Undo()
"""


def _cannot_be_entered(first: Caller, other: Caller) -> None:
    """What one key may say to reach another's entries, and what is left of it."""
    path, body = ROUTES["chat"]
    entry = first.call(path, body).headers["x-litellm-cache-key"]
    scope = entry.partition(":")[0]
    elsewhere = {**body, "messages": [{"role": "user", "content": "Another question"}]}
    for attempt in (
        {"cache_key": entry},
        {"cache_key": entry, "cache": {"namespace": scope}},
        {"preset_cache_key": entry},
        {"litellm_params": {"preset_cache_key": entry}},
    ):
        assert not other.is_hit(path, {**elsewhere, **attempt, "seed": len(str(attempt))}), attempt
    for attempt in ({"cache": {"namespace": scope}}, {"metadata": {"redis_namespace": scope}}, {"cache": True}):
        assert not other.is_hit(path, {**body, **attempt, "seed": len(str(attempt))}), attempt
    # A namespace of one's own is one within the scope.
    own = {**body, "cache": {"namespace": "mine"}}
    assert not first.is_hit(path, own)
    first.hits(path, own)
    assert f"{scope}:mine:" in first.call(path, own).headers["x-litellm-cache-key"]
    assert not other.is_hit(path, own)


@pytest.fixture(scope="module")
def plain(counting: Counting) -> Iterator[Home]:
    """A gateway without database and Redis; each test reloads it with a cache of its own."""
    switches = ("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false", "CACHE_KEY_ID=a", "CACHE_SECRET=b")
    with started(counting, *switches) as made:
        yield made


def test_s3_and_memory_are_caches_too(plain: Home, counting: Counting) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        address = f"http://127.0.0.1:{port}"
        httpx.put(f"{address}/answers", trust_env=False).raise_for_status()
        params = {
            "type": "s3",
            "s3_bucket_name": "answers",
            "s3_region_name": "eu-central-1",
            "s3_endpoint_url": address,
            "s3_aws_access_key_id": "os.environ/CACHE_KEY_ID",
            "s3_aws_secret_access_key": "os.environ/CACHE_SECRET",
        }
        reloaded(plain, counting, cache=True, cache_params=params)
        caller = Caller(plain, plain.values()["LITELLM_MASTER_KEY"], counting)
        for name in ("chat", "responses", "messages"):
            caller.hits(*ROUTES[name])
        outcome = verified(plain, "cache")["cache"]
        assert outcome["state"] == "proven"
        assert "type s3" in outcome["text"]
        assert "embedding" not in outcome["text"]  # LiteLLM writes them there and never reads them
        httpx.post(f"{address}/moto-api/reset", trust_env=False).raise_for_status()  # the bucket is gone
        assert "type s3" in not_proven(plain)["text"]
    finally:
        server.stop()
    reloaded(plain, counting, cache=True, cache_params={"type": "local"})
    caller.hits(*ROUTES["chat"])
    outcomes = verified(plain, "cache", "semantic-cache")
    assert "type local" in outcomes["cache"]["text"]
    assert outcomes["semantic-cache"]["state"] == "off"


@pytest.mark.needs("redis")
def test_verify_names_what_is_wrong_with_redis(plain: Home, counting: Counting, tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, server.client() as client:
        params = {"type": "redis", "host": "127.0.0.1", "port": server.port}
        reloaded(plain, counting, cache=True, cache_params=params)
        assert verified(plain, "cache")["cache"]["state"] == "proven"
        client.config_set("maxmemory", "1")
        full = not_proven(plain)
        assert "is full and evicts nothing" in full["text"]
        assert "allkeys-lru" in full["next"]
        client.config_set("maxmemory", "0")
        client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        assert "read-only replica" in not_proven(plain)["text"]
        client.execute_command("REPLICAOF", "NO", "ONE")
        client.config_set("requirepass", "secret")
        meaning = {**params, "type": "redis-semantic", "similarity_threshold": 0.9, "password": "secret"}
        meaning["redis_semantic_cache_embedding_model"] = "embed"
        reloaded(plain, counting, cache=True, cache_params=meaning)
        assert "has no search module" in not_proven(plain, "semantic-cache")["text"]
        client.config_set("requirepass", "another")
        assert "refuses REDIS_PASSWORD" in not_proven(plain)["text"]
        server.stop()
        assert f"127.0.0.1:{server.port} does not answer" in not_proven(plain)["text"]


def _semantic_server() -> str:
    """Why no server with search can be had here."""
    known = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    return "" if known else "the module's wheel is for Linux on x86-64"


class Meaning(Counting):
    """Vectors by the words of a text: texts that share most of them are close."""

    def embed(self, text: str) -> list[float]:
        numbers = [0.0] * 256
        for word in re.findall(r"[a-z]+", text.lower()):
            numbers[sum(word.encode()) * 31 % 256] += 1
        length = math.hypot(*numbers) or 1.0
        return [number / length for number in numbers]


@pytest.mark.needs("index", "redis")
@pytest.mark.skipif(bool(_semantic_server()), reason=_semantic_server())
def test_the_same_in_other_words_is_a_hit_where_redis_can_search() -> None:
    flags = ("LLM_GATEWAY_DATABASE=false",)
    # With the defaults Redis has no password, and LiteLLM wants the variable all the same.
    arguments = ("--start-with-defaults", "--semantic-cache", "--redis-search-module", str(search_module()))
    with running(Meaning()) as upstream, started(upstream, *flags, arguments=arguments) as made:
        outcomes = verified(made, "cache", "semantic-cache")
        assert outcomes["semantic-cache"]["state"] == outcomes["cache"]["state"] == "proven"
        assert outcomes["semantic-cache"]["data"]["similarity"] > 0.9
        plan = made.ask("plan")["data"]
        assert "redisearch.so" in plan["placements"]["redis"]["reason"]
        assert made.run("doctor").stdout.count("D214  ok") == 1
        with home("LLM_GATEWAY_DATABASE=false", config=made.root / "mine.yaml") as elsewhere:
            theirs = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(made.ports["redis"])}
            planned = elsewhere.ask("plan", "--semantic-cache", variables=theirs)["data"]["placements"]["redis"]
            assert planned["where"] == "external"
        upstream.constant = True
        assert "gives the same vector for every text" in not_proven(made, "semantic-cache")["text"]


@pytest.mark.needs("redis")
def test_a_semantic_cache_that_cannot_run_stops_the_start_before_anything_runs(
    counting: Counting, tmp_path: Path
) -> None:
    with home("LLM_GATEWAY_DATABASE=false", config=None) as made:
        config = made.root / "mine.yaml"
        config.write_text(yaml.safe_dump(_config(counting)))
        asked = ("--config", str(config), "--semantic-cache")
        if not search_modules(Paths(made.root)):
            assert made.error("start", "--detach", *asked, code=3)["code"] == "E360"
            assert made.error("plan", *asked, code=3)["code"] == "E360"
        with redis_server(tmp_path) as plain:
            theirs = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(plain.port)}
            refused = made.error("start", "--detach", *asked, code=3, variables=theirs)
            assert refused["code"] == "E360"
            assert "MODULE LIST shows none" in refused["cause"]
        named = ("--redis-search-module", "/nowhere/redisearch.so")
        assert made.error("start", "--detach", *asked, *named, code=2)["code"] == "E361"
        made.nothing_runs()
