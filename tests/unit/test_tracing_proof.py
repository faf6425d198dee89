"""The proof of tracing where no call is needed: what is off, unavailable, or certainly lost."""

from hashlib import sha256
from types import SimpleNamespace

import pytest

from doubles.langfuse import Langfuse
from doubles.server import running
from llm_gateway.names import PROBE
from llm_gateway.proofs import tracing
from llm_gateway.proofs.base import NotProven
from llm_gateway.proofs.langfuse_api import Server
from llm_gateway.services.base import Placement
from llm_gateway.services.langfuse import not_to_be_proven
from unit.test_langfuse_double import export, post

AS_IS = {"litellm_settings": {"success_callback": ["langfuse"]}}
TRACED = {**AS_IS, "model_list": [{"model_name": PROBE}]}


def stack(where, **values):
    placement = Placement(where, "why", "what to do" if where == "unavailable" else "")
    return SimpleNamespace(placements={"langfuse": placement}, values=values)


@pytest.mark.parametrize(
    ("where", "config", "state"),
    [
        ("off", TRACED, "off"),
        ("unavailable", TRACED, "unavailable"),
        ("external", TRACED, None),
        ("external", AS_IS, "unavailable"),
        ("external", {}, None),
    ],
)
def test_where_it_is_to_be_proven(where, config, state):
    absent = not_to_be_proven(stack(where), config)
    assert (absent and absent.state) == state
    assert absent is None or bool(absent.next) == (state == "unavailable")


def test_a_config_without_the_callback_loses_every_trace():
    with pytest.raises(NotProven) as lost:
        tracing.prove(SimpleNamespace(stack=stack("external"), config={}))
    assert "names no callback" in lost.value.message
    assert "--no-as-is" in lost.value.next


def test_variables_of_the_config_count():
    config = {**TRACED, "environment_variables": {"LANGFUSE_MOCK": "true"}}
    with pytest.raises(NotProven, match="LANGFUSE_MOCK=true"):
        tracing.prove(SimpleNamespace(stack=stack("external"), config=config))


def test_only_ids_that_are_kept_are_used():
    kept = {tracing._trace_id({"LANGFUSE_SAMPLE_RATE": "0.05"}) for _ in range(20)}
    rate = 0.05 * 2**64
    assert all(int.from_bytes(sha256(one.bytes).digest()[:8], "big") < rate for one in kept)


@pytest.mark.parametrize(("trace", "session"), [("ab" * 16, "another"), ("cd" * 16, "session-1")])
def test_a_call_is_found_by_the_id_of_its_trace_or_by_its_session(trace, session):
    with running(Langfuse()) as langfuse:
        post(langfuse, export("call", langfuse__observation__type="generation", session__id="session-1", user__id="u"))
        post(langfuse, export("other", trace="ef" * 16, session__id="session-2"))
        server = Server(langfuse.environment())
        (seen,) = server.call(trace, session)
        assert (seen["trace"], seen["type"], seen["user"]) == ("ab" * 16, "GENERATION", "u")
        assert server.call("cd" * 16, "another") == []
    assert server.call(trace, session) == []
