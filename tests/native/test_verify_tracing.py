"""`llm-gateway verify tracing` on a real gateway and the Langfuse double: proven, and broken in each way on purpose."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from doubles.langfuse import Langfuse, Project
from doubles.server import running
from llm_gateway.names import INTERNAL, PROBE, VERIFY
from llm_gateway.progress import Progress
from llm_gateway.proofs import tracing
from llm_gateway.verbs.context import open_context
from llm_gateway.verbs.verify import verify
from support.home import Home, home
from support.stack import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

MODEL = {"model_name": "m", "litellm_params": {"model": "openai/x", "api_key": "none", "mock_response": "hi"}}
FLAGS = ("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false", "LLM_GATEWAY_ENABLE_LANGFUSE=true")
OTLP, PROJECTS = "/api/public/otel/v1/traces", "/api/public/projects"
MINE, OTHER = Project(), Project("other", "Other", "pk-lf-other", "sk-lf-other")


@dataclass
class Traced:
    """A gateway that traces to the double, by lines of its `.env`."""

    home: Home
    langfuse: Langfuse
    stop: ExitStack

    def proof(self) -> dict[str, Any]:
        """The outcome, in this process: a test may shorten how long it looks."""
        context = open_context({}, progress=Progress(quiet=True), environ=self.home.environ)
        (outcome,) = verify(context, ["tracing"]).data["capabilities"]
        return dict(outcome)

    @contextmanager
    def env(self, **lines: str) -> Iterator[None]:
        """Further lines in `.env`, for a while; the gateway is not told."""
        before = self.home.env_file.read_text(encoding="utf-8")
        try:
            more = "".join(f"{name}={value}\n" for name, value in lines.items())
            self.home.env_file.write_text(f"{before}\n{more}", encoding="utf-8")
            yield
        finally:
            self.home.env_file.write_text(before, encoding="utf-8")

    @contextmanager
    def server(self, **changes: Any) -> Iterator[None]:
        """The double with other attributes, for a while."""
        before = {name: getattr(self.langfuse, name) for name in changes}
        try:
            self._set(changes)
            yield
        finally:
            self._set(before)

    def _set(self, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            setattr(self.langfuse, name, value)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    config = written(tmp_path_factory.mktemp("traced"), "c.yaml", {"model_list": [MODEL]})
    with ExitStack() as stop, home(*FLAGS, config=config) as made:
        langfuse = stop.enter_context(running(Langfuse(projects=(MINE, OTHER), delay=0.2)))
        started = Traced(made, langfuse, stop)
        made.state.mkdir()
        lines = "".join(f"{name}={value}\n" for name, value in langfuse.environment().items())
        made.env_file.write_text(lines, encoding="utf-8")
        assert made.start()["services"]["langfuse"]["where"] == "external"
        yield started


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_WITHIN", 2.0)


def test_a_call_and_a_refused_one_are_read_back(traced: Traced) -> None:
    data = traced.home.ask("verify", "tracing")["data"]
    (outcome,) = data["capabilities"]
    assert outcome["state"] == "proven"
    assert outcome["seconds"] < 10
    shown = outcome["data"]
    (seen,) = [item for item in traced.langfuse.observations() if item["traceId"] == shown["trace"]]
    assert (seen["id"], seen["model"], seen["userId"]) == (shown["observation"], f"openai/{PROBE}", INTERNAL)
    assert VERIFY in seen["tags"]
    assert shown["dollars"] == pytest.approx(0.0002)
    assert shown["usage"] == seen["usageDetails"]
    failed = [item for item in traced.langfuse.observations() if item["traceId"] == shown["failed"]["trace"]]
    assert {item["level"] for item in failed} == {"ERROR"}
    assert "Invalid model name" in shown["failed"]["message"]


def test_a_server_of_version_3_is_read_by_its_own_routes(traced: Traced) -> None:
    with traced.server(version="3.225.4", write_mode="legacy"):
        assert traced.proof()["state"] == "proven"


def test_sampling_does_not_lose_the_proof(traced: Traced) -> None:
    with traced.env(LANGFUSE_SAMPLE_RATE="0.2"):
        assert traced.proof()["state"] == "proven"


BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong keys": ({"projects": (OTHER,)}, "refuses the keys", "Copy both keys"),
    "no project": ({"projects": (replace(MINE, organization_key=True),)}, "an organization's", "project"),
    "broken server": ({"broken": True}, "answers 500", "web container"),
    "not Langfuse": ({"faults": {PROJECTS: 404}}, "is not Langfuse", "LANGFUSE_HOST"),
    "too old": ({"version": "2.95.12"}, "is version 2.95.12", "Update the server"),
    "blocked route": ({"faults": {OTLP: 405}}, "answers a trace with 405", OTLP),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_server_that_does_not_take_traces_is_named(traced: Traced, name: str) -> None:
    changes, says, todo = BROKEN[name]
    with traced.server(**changes):
        outcome = traced.proof()
    assert outcome["state"] == "not proven"
    assert says in outcome["text"]
    assert todo in outcome["next"]
    assert outcome["seconds"] < 2
    assert MINE.secret_key not in str(outcome)


VARIABLES = {
    "nothing is sampled": ({"LANGFUSE_SAMPLE_RATE": "0"}, "LANGFUSE_SAMPLE_RATE=0 makes the gateway drop"),
    "switched off": ({"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED=true makes the gateway drop"),
    "wrong port": ({"LANGFUSE_HOST": "http://127.0.0.1:9"}, "No Langfuse answers at http://127.0.0.1:9"),
    "wrong secret": ({"LANGFUSE_SECRET_KEY": "sk-lf-wrong"}, "refuses the keys"),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_that_lose_every_trace_are_named(traced: Traced, name: str) -> None:
    lines, says = VARIABLES[name]
    with traced.env(**lines):
        outcome = traced.proof()
    assert (outcome["state"], says in outcome["text"]) == ("not proven", True), outcome
    assert "restart" in outcome["next"]


@pytest.mark.usefixtures("impatient")
def test_traces_that_arrive_in_another_project_are_told_from_a_server_that_shows_none(traced: Traced) -> None:
    keys = {"LANGFUSE_PUBLIC_KEY": OTHER.public_key, "LANGFUSE_SECRET_KEY": OTHER.secret_key}
    with traced.env(**keys):
        outcome = traced.proof()
    assert outcome["state"] == "not proven"
    assert ".env was edited after the gateway had started" in outcome["cause"]
    with traced.server(delay=3600.0):
        outcome = traced.proof()
    assert "takes traces, but shows none of a call" in outcome["text"]
    assert "worker or its ClickHouse" in outcome["cause"]


@pytest.mark.usefixtures("impatient")
def test_what_the_gateways_log_says_of_its_exports_is_the_reason(traced: Traced) -> None:
    with traced.server(max_body=10):
        outcome = traced.proof()
    assert "could not deliver its traces" in outcome["text"], outcome
    assert "too large" in outcome["text"]


def _without_user(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "userId": None, "totalCost": 0, "costDetails": {}}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda item: [_without_user(item)], "its cost, user is not what was sent"),
        (lambda item: [item, {**item, "id": f"{item['id']}2"}], "has 2 generations instead of one"),
        (lambda item: [item] if item["level"] == "DEFAULT" else [], "one that was refused is not"),
    ],
    ids=["fields", "twice", "failures"],
)
def test_a_trace_that_is_not_as_it_should_be(
    traced: Traced, monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any], says: str
) -> None:
    keep = traced.langfuse.store.merge
    monkeypatch.setattr(
        traced.langfuse.store, "merge", lambda item, delay: [keep(one, delay) for one in change(dict(item))]
    )
    outcome = traced.proof()
    assert (outcome["state"], says in outcome["text"]) == ("not proven", True), outcome


def test_a_langfuse_package_of_another_major_fails_every_request_and_is_named(traced: Traced, tmp_path: Path) -> None:
    newer = tmp_path / "langfuse-5.0.4.dist-info"
    newer.mkdir()
    (newer / "METADATA").write_text("Metadata-Version: 2.1\nName: langfuse\nVersion: 5.0.4\n", encoding="utf-8")
    path = {"PYTHONPATH": f"{tmp_path}:{traced.home.environ['PYTHONPATH']}"}
    traced.home.ask("restart", "--force", variables=path)
    outcome = traced.home.ask("verify", "tracing", code=1, variables=path)["data"]["capabilities"][0]
    assert "Every request fails with 500" in outcome["text"], outcome
    assert "version 5.0.4" in outcome["cause"]
    assert "langfuse>=4.7,<5" in outcome["next"]


def test_a_server_that_is_gone(traced: Traced) -> None:
    traced.stop.close()
    assert "No Langfuse answers at" in traced.proof()["text"]
