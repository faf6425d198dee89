"""plan(): placements, ports, lines and refusals, from findings alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from llm_gateway import credentials
from llm_gateway.choices import resolve
from llm_gateway.discovery import Findings, Holder, PostgresBinaries
from llm_gateway.dotenv import Environment
from llm_gateway.errors import InputError, PreconditionError
from llm_gateway.paths import Home
from llm_gateway.services.registry import BY_ID, SERVICES
from llm_gateway.stack import plan
from llm_gateway.verbs.context import catalogue

MACHINE = Findings(
    system="Linux",
    machine="x86_64",
    python="3.11.7",
    cores=2,
    memory=8 * 1024**3,
    disk_free=10**11,
    is_root=False,
    service_user="",
    postgres=(
        PostgresBinaries(Path("/usr/lib/postgresql/17/bin"), 17),
        PostgresBinaries(Path("/usr/lib/postgresql/15/bin"), 15),
    ),
    redis_server=Path("/usr/bin/valkey-server"),
)
SECRETS = {secret.variable: f"drawn-{secret.variable}" for service in SERVICES for secret in service.secrets}


def made(*, flags=None, process=None, file=None, findings=MACHINE, rendered=(), secrets=SECRETS):
    environment = Environment(process=process or {}, file=file or {})
    return plan(
        home=Home(Path("/home/someone/gateway")),
        choices=resolve(catalogue(), flags=flags or {}, environ={}, saved={}),
        environment=environment,
        findings=findings,
        config=Path("/somewhere/config.yaml"),
        secrets=secrets,
        rendered=lambda name: not environment.get(name) or name in rendered,
    )


def lines(stack):
    return {line.name: line.value for group in stack.lines.values() for line in group}


def test_defaults_on_a_machine_with_both_servers():
    stack = made()
    assert {id_: p.where for id_, p in stack.placements.items()} == {
        "postgres": "native",
        "redis": "native",
        "langfuse": "unavailable",
        "presidio": "off",
        "lago": "off",
        "prometheus": "off",
        "local_model": "off",
        "gateway": "native",
    }
    assert stack.placements["postgres"].how == "/usr/lib/postgresql/17/bin"
    assert (
        lines(stack)["DATABASE_URL"]
        == "postgresql://litellm:drawn-LLM_GATEWAY_DATABASE_PASSWORD@localhost:5432/litellm"
    )
    assert len(stack.warnings) == 1
    assert "Langfuse is unavailable" in stack.warnings[0]


@pytest.mark.parametrize("where", [{"machine": "aarch64"}, {"python": "3.14.0"}])
def test_where_no_redis_can_be_had_the_cache_is_in_memory_and_that_is_said(where):
    bare = replace(MACHINE, redis_server=None, **where)
    stack = made(findings=bare, flags={"enable_langfuse": "false"})
    assert stack.placements["redis"].where == "unavailable"
    assert len(stack.warnings) == 1
    assert "memory" in stack.warnings[0]
    cache = {s.path[-1]: s.value for s in BY_ID["redis"].gateway_settings(stack, {})}
    assert (cache["cache"], cache["cache_params"]) == (True, {"type": "local"})
    # Asked for by name, it stops the start instead.
    with pytest.raises(PreconditionError) as refused:
        made(findings=bare, flags={"enable_redis": "true"})
    assert refused.value.problem.code == "E302"
    assert made(findings=replace(MACHINE, redis_server=None)).placements["redis"].how == "wheel"


def test_planning_is_repeatable():
    assert made() != made(flags={"workers": "5"})
    assert lines(made()) == lines(made())


def test_every_variable_of_seed_004_is_in_env():
    seed = {
        *(
            "DATABASE_URL",
            "LANGFUSE_PUBLIC_KEY",
            "LANGFUSE_SECRET_KEY",
            "LANGFUSE_HOST",
            "REDIS_HOST",
            "REDIS_PASSWORD",
        ),
        *(
            "REDIS_PORT",
            "OPENAI_API_KEY",
            "PRESIDIO_ANALYZER_API_BASE",
            "PRESIDIO_ANONYMIZER_API_BASE",
            "LITELLM_MASTER_KEY",
        ),
    }
    assert seed <= set(lines(made()))


def test_start_with_defaults_is_exactly_seed_004():
    defaults = {s.variable: s.default for service in SERVICES for s in service.secrets if s.default is not None}
    values = lines(made(flags={"start_with_defaults": True}, secrets={**SECRETS, **defaults}))
    expected = {
        "DATABASE_URL": "postgresql://postgres:postgres@localhost:5432/litellm",
        "REDIS_HOST": "localhost",
        "REDIS_PORT": "6379",
        "REDIS_PASSWORD": "",
        "LANGFUSE_HOST": "http://localhost:3000",
        "LITELLM_MASTER_KEY": "sk-password",
        "LLM_GATEWAY_VIRTUAL_KEY": "sk-TE5BPNfSh4IOCNpW3I5EDQ",
        "OPENAI_API_KEY": "",
    }
    assert {name: values[name] for name in expected} == expected
    assert values["LITELLM_SALT_KEY"] == "drawn-LITELLM_SALT_KEY"


def test_a_database_url_of_ones_own_is_external():
    url = "postgresql://me:secret@db.example:6432/mine?sslmode=verify-full"
    stack = made(file={"DATABASE_URL": url})
    assert stack.placements["postgres"].where == "external"
    assert stack.values["DATABASE_URL"] == url
    assert "secret" not in stack.placements["postgres"].reason


def test_a_process_variable_makes_external_but_is_not_written_down():
    stack = made(process={"DATABASE_URL": "postgresql://a:b@c/d"}, file={"DATABASE_URL": "postgresql://x"}, rendered=())
    assert stack.values["DATABASE_URL"] == "postgresql://a:b@c/d"
    assert lines(stack)["DATABASE_URL"] == "postgresql://x"


def test_what_the_kit_rendered_stays_native_and_keeps_its_password():
    url = "postgresql://litellm:old@localhost:5432/litellm"
    stack = made(file={"DATABASE_URL": url}, rendered={"DATABASE_URL"}, flags={"postgres_port": "5544"})
    assert stack.placements["postgres"].where == "native"
    assert lines(stack)["DATABASE_URL"] == "postgresql://litellm:old@localhost:5544/litellm"


def test_an_adopted_seed_004_url_is_the_kits_unless_somebody_answers():
    file = {"DATABASE_URL": credentials.DATABASE_URL}
    assert made(file=file).placements["postgres"].where == "native"
    answering = replace(MACHINE, database_answers="yes")
    assert made(file=file, findings=answering).placements["postgres"].where == "external"


@pytest.mark.parametrize(
    ("major", "installed", "where", "how"),
    [(15, (15, 17), "native", "/usr/lib/postgresql/15/bin"), (18, (15,), "native", "wheel")],
)
def test_existing_data_chooses_its_own_major_version(major, installed, where, how):
    found = tuple(PostgresBinaries(Path(f"/usr/lib/postgresql/{n}/bin"), n) for n in sorted(installed, reverse=True))
    placement = made(findings=replace(MACHINE, postgres=found, data_major=major)).placements["postgres"]
    assert (placement.where, placement.how) == (where, how)


def test_data_of_a_version_that_is_gone_stops_the_start():
    with pytest.raises(PreconditionError) as raised:
        made(findings=replace(MACHINE, data_major=12))
    assert raised.value.problem.code == "E302"
    assert "12" in raised.value.problem.cause


def test_without_servers_the_wheels_are_planned():
    bare = replace(MACHINE, postgres=(), redis_server=None)
    stack = made(findings=bare)
    assert stack.placements["postgres"].how == "wheel"
    assert stack.placements["redis"].where in {"native", "unavailable"}


def test_a_taken_port_names_its_holder_and_auto_ports_goes_on():
    taken = replace(MACHINE, holders={5432: Holder(77, "postgres")})
    with pytest.raises(PreconditionError) as raised:
        made(findings=taken)
    assert raised.value.problem.code == "E301"
    assert "postgres (pid 77)" in raised.value.problem.message
    assert "--postgres-port" in raised.value.problem.next
    assert made(findings=taken, flags={"auto_ports": True}).ports["postgresPort"] != 5432


def test_an_external_service_needs_no_port():
    taken = replace(MACHINE, holders={6379: Holder(1, "redis-server")})
    stack = made(findings=taken, file={"REDIS_HOST": "cache.example", "REDIS_PORT": "6379"})
    assert stack.placements["redis"].where == "external"


def test_two_services_cannot_have_one_port():
    with pytest.raises(PreconditionError):
        made(flags={"redis_port": "5432"})


def test_an_option_that_was_asked_for_and_cannot_run_stops_the_start():
    for flags in ({"enable_langfuse": True}, {"enable_lago": True}, {"local_model": "chat"}):
        with pytest.raises(PreconditionError) as raised:
            made(flags=flags)
        assert raised.value.problem.code == "E302"


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.5"])
def test_known_credentials_stay_on_loopback(bind):
    with pytest.raises(InputError) as raised:
        made(flags={"bind": bind}, file={"LITELLM_MASTER_KEY": "sk-password"})
    assert raised.value.problem.code == "E108"
    assert made(flags={"bind": bind}, file={"LITELLM_MASTER_KEY": "sk-" + "a" * 40}).choices.text("bind") == bind


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "localhost"])
def test_known_credentials_on_loopback_are_fine(bind):
    assert made(flags={"bind": bind}, file={"LITELLM_MASTER_KEY": "sk-password"})


def test_no_database_means_no_database_variable():
    stack = made(flags={"database": False})
    assert stack.placements["postgres"].where == "off"
    process = next(s for s in SERVICES if s.id == "gateway").processes(stack)[0]
    assert "DATABASE_URL" in process.unset


@pytest.mark.parametrize(
    ("flags", "file", "gone"),
    [
        ({}, {}, False),
        ({"enable_redis": "false"}, {}, True),
        ({"enable_redis": "false"}, {"REDIS_HOST": "cache.example"}, False),
    ],
)
def test_a_redis_that_does_not_run_is_hidden_from_litellm(flags, file, gone):
    """LiteLLM waits for a Redis wherever REDIS_HOST is set; an address of a person's own may be in the config."""
    stack = made(flags={"enable_langfuse": "false", **flags}, file=file)
    hidden = BY_ID["redis"].hidden(stack)
    assert hidden == (("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD") if gone else ())


def test_no_secret_is_in_a_command_line():
    stack = made()
    secrets = {value for value in stack.values.values() if value.startswith("drawn-")}
    for service in SERVICES:
        if stack.placements[service.id].where == "native":
            for process in service.processes(stack):
                assert not any(
                    secret in part for secret in secrets for part in (*process.argv, *process.extra.values())
                )


def test_no_credentials_of_an_address_are_in_the_reasons():
    file = {
        "LANGFUSE_HOST": "https://me:hunter2@langfuse.example",
        "LANGFUSE_PUBLIC_KEY": "pk-lf-own",
        "LANGFUSE_SECRET_KEY": "sk-lf-own",
        "PRESIDIO_ANALYZER_API_BASE": "http://hunter2@pii.example:3000",
        "PRESIDIO_ANONYMIZER_API_BASE": "me:hunter2@pii.example:3001",
    }
    stack = made(file=file, flags={"enable_presidio": "true"})
    assert {stack.placements[id_].where for id_ in ("langfuse", "presidio")} == {"external"}
    assert "hunter2" not in repr(stack.placements)
    assert "https://***@langfuse.example" in stack.placements["langfuse"].reason
    assert all("hunter2" not in setting.reason for setting in BY_ID["langfuse"].gateway_settings(stack, {}))
    assert "hunter2" not in repr(made(file={**file, "LANGFUSE_SECRET_KEY": ""}).placements)
