"""The double of Langfuse, and what really arrives there: from LiteLLM behind the launcher, from LiteLLM as a library,
and from the Langfuse SDK.

The callback is `langfuse`, for successes and failures. `langfuse_otel` has a test that says how its traces differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from langfuse import Langfuse as Sdk
from langfuse.api import LangfuseAPI
from opentelemetry.sdk.trace import TracerProvider

from doubles.langfuse import Langfuse
from doubles.server import running
from support.langfuse import DELAY
from support.launcher import Launched, environment, launched, until
from support.openai_upstream import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx

    from support.openai_upstream import Upstream

OTLP = "/api/public/otel/v1/traces"
ALL = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"
TRACED = {"success_callback": ["langfuse"], "failure_callback": ["langfuse"]}
PRICES = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
TOO_LARGE = "<truncated due to size exceeding limit>"


@dataclass
class Traced:
    """A running gateway, the double it sends to, and the provider behind it."""

    gateway: Launched
    langfuse: Langfuse
    upstream: Upstream

    def chat(self, model: str = "demo-chat", *, prompt: str = "hello", **body: Any) -> tuple[httpx.Response, str]:
        """One call, and the id of its trace, chosen by the caller."""
        trace = uuid.uuid4().hex
        metadata = {"trace_id": trace, **body.pop("metadata", {})}
        messages = [{"role": "user", "content": prompt}]
        with self.gateway.client() as client:
            answer = client.post(
                "/v1/chat/completions", json={"model": model, "messages": messages, "metadata": metadata, **body}
            )
        return answer, trace

    def settled(self, trace: str) -> list[dict[str, Any]]:
        """Everything of a trace, when what was sent after it has arrived too."""
        until(lambda: self.of(trace), reason=f"trace {trace} did not arrive")
        _, barrier = self.chat(prompt="the barrier")
        until(lambda: self.of(barrier), reason="the barrier did not arrive")
        return self.of(trace)

    def of(self, trace: str) -> list[dict[str, Any]]:
        return [item for item in self.langfuse.observations() if item["traceId"] == trace]


def _models(upstream: Upstream) -> list[dict[str, Any]]:
    good = upstream.model()
    good["litellm_params"] |= PRICES
    dead = {"model": "openai/dead", "api_base": "http://127.0.0.1:9/v1", "api_key": "none", "max_retries": 0}
    names = ("dead", "rescued")
    return [good, *({"model_name": name, "litellm_params": dead} for name in names)]


@contextmanager
def _traced(
    folder: Path, callbacks: Mapping[str, Any], double: Langfuse, extra: Mapping[str, str] | None = None
) -> Iterator[Traced]:
    with running(double), serving() as upstream:
        config = {
            "model_list": _models(upstream),
            "litellm_settings": {**callbacks, "fallbacks": [{"rescued": ["demo-chat"]}]},
            "router_settings": {"num_retries": 0},
        }
        with launched(folder, config, env={**double.environment(), **(extra or {})}) as gateway:
            yield Traced(gateway.ready(), double, upstream)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with _traced(tmp_path_factory.mktemp("traced"), TRACED, Langfuse(delay=DELAY)) as made:
        yield made


def test_a_call_is_exactly_one_generation_with_all_that_was_said(traced):
    answer, trace = traced.chat(
        user="alice",
        metadata={"session_id": "session-1", "tags": ["workshop", "blue"], "trace_name": "homework", "course": "101"},
    )
    assert answer.status_code == 200
    (seen,) = traced.settled(trace)
    assert (seen["type"], seen["level"], seen["isRootObservation"]) == ("GENERATION", "DEFAULT", True)
    assert (seen["userId"], seen["sessionId"], seen["traceName"]) == ("alice", "session-1", "homework")
    assert seen["tags"][:2] == ["workshop", "blue"]
    assert seen["model"] == "openai/m"
    assert {name: seen["usageDetails"][name] for name in ("input", "output", "total")} == {
        "input": 1,
        "output": 1,
        "total": 2,
    }
    assert seen["totalCost"] == pytest.approx(0.003)
    assert json.loads(seen["input"]) == {"messages": [{"role": "user", "content": "hello"}]}
    assert json.loads(seen["output"])["content"] == "from upstream"
    # The way back from a call to its trace when the caller named none.
    assert seen["metadata"]["litellm_call_id"] == answer.headers["x-litellm-call-id"]
    assert seen["metadata"]["requester_metadata"]["course"] == "101"


def test_headers_name_the_same_things(traced):
    headers = {
        "langfuse_trace_name": "from-a-header",
        "x-litellm-session-id": "session-of-a-header",
        "x-litellm-end-user-id": "bob",
        "x-litellm-tags": "one,two",
    }
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "by header"}]}
    with traced.gateway.client() as client:
        call = client.post("/v1/chat/completions", json=body, headers=headers).headers["x-litellm-call-id"]
    (seen,) = until(lambda: [o for o in traced.langfuse.observations() if o["metadata"].get("litellm_call_id") == call])
    assert (seen["userId"], seen["sessionId"], seen["traceName"]) == ("bob", "session-of-a-header", "from-a-header")
    assert seen["tags"][:2] == ["one", "two"]
    # A session is not a trace: each of its calls has its own, under the call's id.
    assert seen["traceId"] == call.replace("-", "")


def test_a_stream_is_one_generation_with_the_whole_answer(traced):
    answer, trace = traced.chat(stream=True, user="alice")
    assert "[DONE]" in answer.text
    (seen,) = traced.settled(trace)
    assert json.loads(seen["output"])["content"] == "first last"
    assert seen["usageDetails"]["total"] > 0
    assert seen["totalCost"] > 0
    assert seen["startTime"] < seen["completionStartTime"] <= seen["endTime"]


def test_a_call_that_failed_at_the_provider_is_traced_with_its_reason(traced):
    answer, trace = traced.chat("dead", user="alice")
    assert answer.status_code == 500
    (seen,) = traced.settled(trace)
    assert (seen["type"], seen["level"], seen["userId"]) == ("GENERATION", "ERROR", "alice")
    assert "Connection error" in seen["statusMessage"]
    assert seen["totalCost"] == 0


def test_a_call_that_litellm_itself_refused_is_one_trace(traced):
    answer, _ = traced.chat("no-such-model", user="alice")
    assert answer.status_code == 400
    seen = until(lambda: [o for o in traced.langfuse.observations() if o["model"] == "no-such-model"])
    seen = traced.settled(seen[0]["traceId"])
    # LiteLLM 1.106.2 logs its own refusals twice; nobody pays for them.
    assert {item["level"] for item in seen} == {"ERROR"}
    assert sum(item["totalCost"] for item in seen) == 0
    assert len({item["traceId"] for item in seen}) == 1


def test_a_call_that_another_model_rescued_is_one_trace_with_both_attempts(traced):
    answer, trace = traced.chat("rescued", user="alice")
    assert answer.status_code == 200
    failed, answered = sorted(traced.settled(trace), key=lambda item: item["level"], reverse=True)
    assert (failed["level"], failed["model"], failed["totalCost"]) == ("ERROR", "openai/dead", 0)
    assert (answered["level"], answered["model"]) == ("DEFAULT", "openai/m")


def test_tags_that_are_no_list_cost_the_user_too(traced):
    # LiteLLM 1.106.2 cannot build its log record then; what proves tracing must send a list.
    _, trace = traced.chat(user="alice", metadata={"tags": "one"})
    (seen,) = traced.settled(trace)
    assert (seen["userId"], seen["tags"]) == (None, [])
    assert seen["totalCost"] == pytest.approx(0.003)


def test_looking_at_the_gateway_makes_no_traces(traced):
    _, before = traced.chat()
    traced.settled(before)
    count = len(traced.langfuse.observations())
    with traced.gateway.client() as client:
        for path in ("/health/readiness", "/health/liveliness", "/v1/models", "/metrics") * 5:
            client.get(path)
    _, after = traced.chat()
    until(lambda: traced.of(after))
    assert len(traced.langfuse.observations()) == count + 1


def test_asking_every_model_whether_it_lives_is_traced_and_marked_as_such(traced):
    with traced.gateway.client() as client:
        assert client.get("/health").json()["healthy_count"] == 1

    def checks() -> list[dict[str, Any]]:
        return [item for item in traced.langfuse.observations() if "litellm-internal-health-check" in item["tags"]]

    until(lambda: any(item["level"] == "DEFAULT" for item in checks()))
    assert all(item["userId"] is None for item in checks())


def test_a_langfuse_that_is_away_for_a_moment_loses_nothing(traced):
    traced.langfuse.faults = {OTLP: 503}
    before = len(traced.langfuse.requests)
    answer, trace = traced.chat()
    assert answer.status_code == 200
    until(lambda: len(traced.langfuse.requests) > before)
    assert traced.of(trace) == []
    traced.langfuse.faults = {}
    assert len(until(lambda: traced.of(trace))) == 1


def test_a_call_larger_than_a_proxy_lets_pass_loses_its_text_and_not_its_trace(traced):
    traced.langfuse.max_body = 50_000
    try:
        _, trace = traced.chat(prompt="x" * 60_000)
        (seen,) = until(lambda: traced.of(trace))
    finally:
        traced.langfuse.max_body = 0
    assert seen["input"] == TOO_LARGE
    assert seen["usageDetails"]["total"] == 2


def test_what_was_answered_before_a_stop_is_traced(tmp_path):
    with _traced(tmp_path, TRACED, Langfuse(), {"LANGFUSE_TRACING_ENVIRONMENT": "workshop"}) as made:
        _, trace = made.chat()
        assert made.gateway.stop() == 0
        (seen,) = made.of(trace)
    assert seen["environment"] == "workshop"


def test_wrong_keys_cost_the_traces_and_nothing_else(tmp_path):
    wrong = {"LANGFUSE_SECRET_KEY": "sk-lf-of-another-project"}
    with _traced(tmp_path, TRACED, Langfuse(), wrong) as made:
        answer, _ = made.chat()
        assert answer.status_code == 200
        until(lambda: made.langfuse.bodies(OTLP))
        until(lambda: "HTTP 401" in made.gateway.log())
        assert made.langfuse.observations() == []
        assert made.chat()[0].status_code == 200


def test_langfuse_otel_sends_two_observations_and_takes_the_user_for_a_session(tmp_path):
    with _traced(tmp_path, {"callbacks": ["langfuse_otel"]}, Langfuse()) as made:
        made.chat(user="alice")
        observations = until(made.langfuse.observations)
    by_type = {item["type"]: item for item in observations}
    assert set(by_type) == {"GENERATION", "SPAN"}
    assert by_type["SPAN"]["parentObservationId"] == by_type["GENERATION"]["id"]
    assert by_type["GENERATION"]["sessionId"] == by_type["GENERATION"]["userId"] == "alice"
    assert by_type["GENERATION"]["totalCost"] == pytest.approx(0.003)


# What seed 002's main.py does, against a provider of the test's.
_LIBRARY = """
import litellm, sys
litellm.success_callback = ["langfuse"]
litellm.failure_callback = ["langfuse"]
params = {"model": "openai/m", "api_key": "none", "messages": [{"role": "user", "content": "from the library"}]}
litellm.completion(api_base=sys.argv[1], metadata={"trace_user_id": "carol", "session_id": "s"}, **params)
try:
    litellm.completion(api_base="http://127.0.0.1:9/v1", max_retries=0, **params)
except litellm.InternalServerError:
    print("failed as it should")
"""


def test_litellm_as_a_library_traces_to_the_same_project_until_the_process_ends(langfuse):
    langfuse.delay = 0
    with serving() as upstream:
        done = subprocess.run(
            [sys.executable, "-c", _LIBRARY, f"http://127.0.0.1:{upstream.port}/v1"],
            env=environment({**langfuse.environment(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stdout.endswith("failed as it should\n"), done.stderr
        # Nothing waits here: what the process did not send before its end is lost.
        seen = {item["level"]: item for item in langfuse.observations()}
    assert set(seen) == {"DEFAULT", "ERROR"}
    assert json.loads(seen["DEFAULT"]["output"])["content"] == "from upstream"
    assert (seen["DEFAULT"]["userId"], seen["DEFAULT"]["sessionId"]) == ("carol", "s")
    assert "Connection error" in seen["ERROR"]["statusMessage"]


@pytest.fixture
def sdk(langfuse: Langfuse) -> Iterator[Sdk]:
    keys = langfuse.projects[0]
    # Its own provider: the SDK would else make its own the process's.
    client = Sdk(
        public_key=keys.public_key,
        secret_key=keys.secret_key,
        base_url=langfuse.url,
        tracer_provider=TracerProvider(),
    )
    try:
        yield client
    finally:
        client.shutdown()


def test_the_sdk_writes_and_reads_back(sdk, langfuse):
    assert sdk.auth_check()
    with sdk.start_as_current_observation(as_type="generation", name="answer", model="m") as generation:
        generation.update(input="question", output="answer", usage_details={"input": 3, "output": 4})
    sdk.create_score(trace_id=generation.trace_id, name="helpful", value=1)
    sdk.flush()
    (read,) = until(lambda: sdk.api.observations.get_many(trace_id=generation.trace_id, fields=ALL).data)
    assert (read.type, read.name, read.model) == ("GENERATION", "answer", "m")
    assert (read.input, read.output) == ("question", "answer")
    assert read.usage_details == {"input": 3, "output": 4, "total": 7}
    (score,) = until(langfuse.scores)
    assert (score["name"], score["traceId"]) == ("helpful", generation.trace_id)


def test_the_sdk_reads_what_the_gateway_wrote(traced):
    _, trace = traced.chat(user="dave", metadata={"tags": ["read-back"]})
    keys = traced.langfuse.projects[0]
    api = LangfuseAPI(base_url=traced.langfuse.url, username=keys.public_key, password=keys.secret_key)
    (read,) = until(lambda: api.observations.get_many(trace_id=trace, user_id="dave", fields=ALL).data)
    assert (read.project_id, read.user_id, read.total_cost) == (keys.id, "dave", pytest.approx(0.003))
    assert "read-back" in read.tags
    assert api.projects.get().data[0].id == keys.id
    assert api.health.health().version == traced.langfuse.version
