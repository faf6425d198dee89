"""Tracing beside masking: what could not be masked is refused, and its text is in no trace either."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from doubles.langfuse import Langfuse
from doubles.presidio import Presidio
from doubles.server import running
from support.home import home
from support.openai_upstream import serving
from support.stack import eventually, written

if TYPE_CHECKING:
    from collections.abc import Iterator

MAIL = "jane.doe@example.com"
FLAGS = (
    "LLM_GATEWAY_DATABASE=false",
    "LLM_GATEWAY_ENABLE_REDIS=false",
    "LLM_GATEWAY_ENABLE_LANGFUSE=true",
    "LLM_GATEWAY_ENABLE_PRESIDIO=true",
)
CHAT = {"messages": [{"role": "user", "content": f"Write to {MAIL}"}]}
TOOL = {"type": "function", "function": {"name": "f", "description": MAIL, "parameters": {"type": "object"}}}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {**CHAT, "tools": [TOOL]}),
    "stream": ("/v1/chat/completions", {**CHAT, "stream": True}),
    "completions": ("/v1/completions", {"prompt": f"Write to {MAIL}"}),
    "embeddings": ("/v1/embeddings", {"input": ["Hello.", f"Write to {MAIL}"]}),
    "messages": ("/v1/messages", {**CHAT, "max_tokens": 5, "system": f"You are {MAIL}"}),
    "responses": ("/v1/responses", {"input": f"Write to {MAIL}", "instructions": f"You are {MAIL}"}),
}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """What Langfuse was sent of a masked chat, and of each kind of call that Presidio could not mask."""
    with serving() as upstream, running(Langfuse()) as langfuse, running(Presidio()) as presidio, home(*FLAGS) as made:
        made.environ.update({**langfuse.environment(), **presidio.variables})
        config = written(tmp_path_factory.mktemp("masked"), "c.yaml", {"model_list": [upstream.model()]})
        key = made.start("--config", str(config))["key"]

        def sent(name: str) -> list[str]:
            path, body = CALLS[name]
            known = len(langfuse.observations())
            answer = made.api("POST", path, key, json={"model": "demo-chat", **body})
            assert (answer.status_code == 200) == (not presidio.broken), answer.text

            def generations() -> list[str]:
                return [json.dumps(item) for item in langfuse.observations()[known:] if item["type"] == "GENERATION"]

            return list(eventually(generations, what=f"the trace of {name}"))

        found = {"masked": sent("stream")}
        presidio.broken = True
        found |= {name: sent(name) for name in CALLS}
        assert MAIL not in json.dumps(upstream.requests)
        # LiteLLM logs its own refusals twice, the second time a little later.
        found["late"] = [json.dumps(item) for item in langfuse.observations() if item["level"] == "ERROR"]
        yield found


def test_a_masked_call_is_traced_as_it_was_masked(traces: dict[str, list[str]]) -> None:
    assert "<EMAIL_ADDRESS>" in traces["masked"][0]
    assert MAIL not in traces["masked"][0]


@pytest.mark.parametrize("name", [*CALLS, "late"])
def test_a_call_that_could_not_be_masked_is_traced_without_its_text(traces: dict[str, list[str]], name: str) -> None:
    assert all("ERROR" in one and MAIL not in one for one in traces[name]), traces[name]
    assert traces[name]
