"""The doctor says what is wrong with a Langfuse server, each time in other words."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from doubles.langfuse import Langfuse, Project, seed
from doubles.ollama import Ollama
from doubles.server import Answer, Double, running
from llm_gateway.doctor.langfuse import keys as look
from llm_gateway.doctor.langfuse import problem
from llm_gateway.services.base import Placement
from support.ports import free_port
from support.proxy import private_authority, proxying

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
    return SimpleNamespace(placements={"langfuse": Placement(where, "")}, values=values, public_url="")


def test_only_a_server_that_is_used_is_asked():
    with running(Langfuse()) as langfuse:
        good = langfuse.environment()
        assert look(stack("external", **good)) is None
        asked = len(langfuse.requests)
        assert asked > 0
        for where in ("off", "unavailable"):
            assert look(stack(where, **{**good, "LANGFUSE_SECRET_KEY": "sk-lf-wrong"})) is None
        assert "not both keys" in look(stack("external", **{**good, "LANGFUSE_SECRET_KEY": ""}))[0]
        assert len(langfuse.requests) == asked


def test_an_init_that_was_ignored_by_an_older_volume_is_explained():
    begun = {
        "LANGFUSE_INIT_ORG_ID": "o",
        "LANGFUSE_INIT_PROJECT_ID": "p",
        "LANGFUSE_INIT_PROJECT_PUBLIC_KEY": "pk-lf-1",
        "LANGFUSE_INIT_PROJECT_SECRET_KEY": "sk-lf-1",
    }
    volume = seed(begun)

    def found(**later):
        """What a later start with other variables on the same volume leads to."""
        init = {**begun, **{f"LANGFUSE_INIT_PROJECT_{name}": value for name, value in later.items()}}
        names = {name: init[f"LANGFUSE_INIT_PROJECT_{name}"] for name in ("PUBLIC_KEY", "SECRET_KEY")}
        with running(Langfuse(projects=seed(init, volume))) as langfuse:
            values = {"LANGFUSE_HOST": langfuse.url, **{f"LANGFUSE_{name}": names[name] for name in names}}
            return look(stack("docker", **init, **values))

    assert found() is None
    message, repair = found(SECRET_KEY="sk-lf-2")
    assert "Its data is older than they are" in message
    assert "remove LANGFUSE_PUBLIC_KEY" in repair
    # The repair that is named: a new pair is made beside the old one.
    assert found(PUBLIC_KEY="pk-lf-2", SECRET_KEY="sk-lf-2") is None


def test_keys_of_another_project_than_the_seeded_one_are_named():
    values = {"LANGFUSE_INIT_PROJECT_ID": "seeded", "LANGFUSE_INIT_PROJECT_PUBLIC_KEY": KEYS[0]}
    with running(Langfuse()) as langfuse:
        message, _ = look(stack("docker", **langfuse.environment(), **values))
        assert "belong to the project double-project, not to seeded: calls are traced there" in message
        # Keys that a person made are of the person's project.
        values["LANGFUSE_INIT_PROJECT_PUBLIC_KEY"] = ""
        assert look(stack("docker", **langfuse.environment(), **values)) is None


def test_it_goes_the_gateways_way_through_the_proxy_with_its_certificates(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # of this process, not of the gateway
    authority, tls = private_authority(tmp_path, "langfuse.example.com")
    with running(Langfuse(), tls=tls) as langfuse, proxying({"langfuse.example.com": langfuse.port}) as proxy:
        values = {**langfuse.environment(), "LANGFUSE_HOST": "https://langfuse.example.com", "HTTPS_PROXY": proxy.url}
        assert "CERTIFICATE_VERIFY_FAILED" in look(stack("external", **values))[0]
        assert look(stack("external", **values, SSL_CERT_FILE=str(authority))) is None
        assert set(proxy.connected) == {"langfuse.example.com:443"}
        missing = look(stack("external", **values, SSL_CERT_FILE="/no/such.pem"))[0]
        assert "the certificates in /no/such.pem cannot be read" in missing
        wrong = look(stack("external", **{**values, "HTTPS_PROXY": proxy.url.replace("s3cret", "wrong-word")}))[0]
        assert "407" in wrong
        assert "wrong-word" not in wrong


@pytest.mark.parametrize("host", ["http://127.0.0.1:{port}", "http://langfuse.internal:{port}", "langfuse:{port}"])
def test_loopback_and_private_hosts_are_never_asked_through_a_proxy(host):
    with running(Langfuse()) as proxy:
        values = {**proxy.environment(), "LANGFUSE_HOST": host.format(port=free_port()), "http_proxy": proxy.url}
        assert look(stack("external", **values))[0].startswith("No Langfuse answers")
        assert proxy.requests == []


def test_what_no_proxy_names_is_not_asked_through_it():
    with running(Langfuse()) as proxy:
        values = {**proxy.environment(), "LANGFUSE_HOST": "http://a.b.invalid", "ALL_PROXY": proxy.url}
        look(stack("external", **values))
        assert proxy.requests
        del proxy.requests[:]
        assert look(stack("external", **values, NO_PROXY="b.invalid"))[0].startswith("No Langfuse answers")
        assert proxy.requests == []


def test_no_credentials_of_the_address_are_said():
    with running(Redirecting()) as server:
        for host in (f"http://me:hunter2@127.0.0.1:{server.port}", "http://me:hunter2@127.0.0.1:9", "me:hunter2@[::1"):
            message, repair = problem(host, *KEYS)
            assert "hunter2" not in message + repair
