"""The doctor says what is wrong with a Langfuse server, each time in other words."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from doubles.langfuse import Langfuse, Project
from doubles.ollama import Ollama
from doubles.server import Answer, Double, running
from llm_gateway.doctor.langfuse import keys as look
from llm_gateway.doctor.langfuse import problem
from llm_gateway.services.base import Placement
from support.ports import free_port

KEYS = (Project().public_key, Project().secret_key)
OTLP, PROJECTS = "/api/public/otel/v1/traces", "/api/public/projects"


class Redirecting(Double):
    def answer(self, request):
        return Answer(301)


@pytest.mark.parametrize("version", ["4.16.0", "3.225.4"])
def test_a_server_that_takes_traces_has_no_problem_and_keeps_nothing(version):
    with running(Langfuse(version=version)) as langfuse:
        assert problem(langfuse.url, *KEYS) is None
        assert problem(f"127.0.0.1:{langfuse.port}/", *KEYS) is None
        assert langfuse.observations() == []


@pytest.mark.parametrize(
    ("server", "keys", "says", "todo"),
    [
        (Langfuse(), (KEYS[0], "sk-lf-wrong"), "refuses the keys", "API Keys"),
        (Langfuse(projects=(Project(organization_key=True),)), KEYS, "an organization's", "API Keys"),
        (Langfuse(version="2.95.12"), KEYS, "is version 2.95.12. LiteLLM sends traces only by", "Update"),
        (Langfuse(faults={OTLP: 405}), KEYS, "Langfuse 4.16.0 at .* answers a trace with 405", f"POST {OTLP}"),
        (Langfuse(broken=True), KEYS, "answers 500", "LANGFUSE_INIT_USER_PASSWORD"),
        (Langfuse(faults={PROJECTS: 404}), KEYS, "is not Langfuse", "LANGFUSE_HOST"),
        (Ollama(), KEYS, "is not Langfuse .status 404", "LANGFUSE_HOST"),
        (Redirecting(), KEYS, "sends its callers to", "LANGFUSE_HOST"),
    ],
    ids=["keys", "organization", "version 2", "blocked", "broken", "no route", "another server", "redirect"],
)
def test_each_fault_has_its_words_and_its_repair(server, keys, says, todo):
    with running(server):
        message, repair = problem(server.url, *keys)
    assert re.search(says, message), message
    assert todo in repair
    assert KEYS[1] not in message + repair


@pytest.mark.parametrize("host", ["http://127.0.0.1:{port}", "localhost:{port}", "http://[", "http://a b"])
def test_a_host_where_nothing_answers(host):
    message, repair = problem(host.format(port=free_port()), *KEYS)
    assert message.startswith("No Langfuse answers at http://")
    assert "LANGFUSE_HOST" in repair
    assert ("in a container" in repair) == ("{port}" in host)


def stack(where, **values):
    return SimpleNamespace(placements={"langfuse": Placement(where, "")}, values=values)


def test_only_an_external_server_is_asked():
    with running(Langfuse()) as langfuse:
        good = langfuse.environment()
        assert look(stack("external", **good)) is None
        asked = len(langfuse.requests)
        assert asked > 0
        for where in ("off", "unavailable", "docker"):
            assert look(stack(where, **{**good, "LANGFUSE_SECRET_KEY": "sk-lf-wrong"})) is None
        assert "not both keys" in look(stack("external", **{**good, "LANGFUSE_SECRET_KEY": ""}))[0]
        assert len(langfuse.requests) == asked
