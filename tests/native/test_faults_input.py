"""What a person can get wrong: configs, `.env`, options, the home itself. One clear error each, and nothing started."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.home import DEMO, Home, free_ports, home, ordinary_user

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "sk-that-must-never-be-shown"


@pytest.fixture
def made() -> Iterator[Home]:
    with home() as fresh:
        yield fresh


# -- --config --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, "E120", "is not there"),
        ("<directory>", "E120", "directory"),
        ("", "E122", "empty"),
        ("- a\n- b\n", "E122", "list"),
        ("just words\n", "E122", "str"),
        ("model_list:\n\t- model_name: x\n", "E121", "line 2"),
        ("model_list: [a, b\nlitellm_settings: {}\n", "E121", "line"),
        ("model_list:\n  a: 1\n", "E122", "model_list"),
        ("a: &a [*a, *a]\nb: !!python/object/apply:os.system ['true']\n", "E121", "line"),
        (b"model_list: \xff\xfe\n", "E120", "UTF-8"),
        ("# " + "x" * 5_000_001, "E120", "5 MB"),
    ],
    ids=["missing", "directory", "empty", "list", "text", "tab", "bracket", "mapping", "tag", "bytes", "large"],
)
def test_an_unusable_config_is_named_with_its_reason(
    made: Home, tmp_path: Path, content: str | bytes | None, code: str, says: str
) -> None:
    config = tmp_path / "mine.yaml"
    if content == "<directory>":
        config.mkdir()
    elif isinstance(content, bytes):
        config.write_bytes(content)
    elif content is not None:
        config.write_text(content)
    error = made.error("start", "--detach", "--config", str(config), code=2)
    assert error["code"] == code
    assert str(config) in error["message"]
    assert says in error["message"]
    made.nothing_runs(seconds=0.1)


def test_a_config_is_looked_for_beside_the_person_then_in_the_home(made: Home, tmp_path: Path) -> None:
    made.ask("init")
    shutil.copy(DEMO, made.root / "configs" / "mine.yaml")
    assert made.ask("plan", "--config", "configs/mine.yaml")["data"]["config"] == str(made.root / "configs/mine.yaml")


# -- .env ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (f'A=1\nB="{SECRET}\nC=2\n'.encode(), "E111", "line 2"),
        (f"A=1\n{SECRET}\n".encode(), "E111", "line 2"),
        (b"A=1\nB=\xff\xfe\n", "E112", "UTF-8"),
        (b"A" * 1_000_001, "E112", "1 MB"),
        (None, "E112", "directory"),
    ],
    ids=["quote", "no-assignment", "bytes", "large", "directory"],
)
@pytest.mark.parametrize("place", ["state", "home"])
def test_a_broken_env_is_named_by_its_line_and_never_shown(
    made: Home, content: bytes | None, code: str, says: str, place: str
) -> None:
    path = made.env_file if place == "state" else made.root / ".env"
    path.parent.mkdir(exist_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for verb in ("start", "status"):
        error = made.error(verb, code=2)
        assert (error["code"], says in error["message"]) == (code, True), error
        assert SECRET not in json.dumps(error)
    if content is not None:
        assert path.read_bytes() == content
    made.nothing_runs(seconds=0.1)


@pytest.mark.needs("unprivileged-user")
def test_an_unreadable_env_and_a_closed_home() -> None:
    with home(user=ordinary_user()) as made:
        made.state.mkdir()
        made.env_file.write_text("A=1\n")
        made.env_file.chmod(0)
        shutil.chown(made.state, "nobody")
        assert made.error("start", "--detach", code=2)["code"] == "E112"
        made.env_file.unlink()
        shutil.chown(made.state, "root")
        shutil.chown(made.root, "root")
        error = made.error("start", "--detach", code=3)
        assert (error["code"], str(made.root) in error["message"]) == ("E101", True)
        assert made.error("init", code=3)["code"] == "E101"
        # Looking needs no write permission.
        assert made.ask("status", code=1)["data"]["running"] is False
        shutil.rmtree(made.state)


def test_an_env_edited_in_place_of_its_link_is_taken_over(made: Home) -> None:
    """`sed -i` and many editors replace a link by a new file: that file is the person's word."""
    made.ask("init")
    link = made.root / ".env"
    assert link.is_symlink()
    old = made.env_file.read_text()
    link.unlink()
    link.write_text(old + "MINE=1\n")
    assert made.run("exec", "--", "printenv", "MINE").stdout == "1\n"
    made.ask("init")
    assert made.env_file.read_text() == old + "MINE=1\n"
    assert link.is_symlink()
    assert made.env_file.stat().st_mode & 0o777 == 0o600


# -- the kit's own files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["options.json", "rendered.json", "running.json", "configs.json"])
@pytest.mark.parametrize("content", [b"{", b"[]\xff"], ids=["cut", "bytes"])
def test_a_damaged_file_of_the_kit_is_named_with_what_to_do(made: Home, name: str, content: bytes) -> None:
    made.ask("init")
    path = made.state / name
    path.write_bytes(content)
    error = made.error("start", "--no-database", "--no-enable-redis", "--detach", "--timeout", "1", code=2)
    assert (error["code"], str(path) in error["message"]) == ("E104", True)
    command = error["next"][error["next"].index("mv ") :]
    subprocess.run(command, shell=True, check=True)
    made.ask("init")


@pytest.mark.parametrize("name", ["running.json", "supervisord.json"])
def test_stop_needs_no_intact_record(made: Home, name: str) -> None:
    made.ask("init")
    (made.state / name).write_bytes(b"{")
    assert made.ask("stop")["data"]["stopped"] in {True, False}
    assert not (made.state / name).exists()


# -- options and settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "code", "says"),
    [
        ({"LLM_GATEWAY_ENABLE_REDIS": "perhaps"}, "E105", "LLM_GATEWAY_ENABLE_REDIS"),
        ({"LLM_GATEWAY_GATEWAY_PORT": "99999"}, "E105", "65535"),
        ({"LLM_GATEWAY_GATEWAY_PORT": "0x10"}, "E105", "whole number"),
        ({"LLM_GATEWAY_ENGINE": "podman"}, "E105", "native"),
        ({"LLM_GATEWAY_ENABLE_REDDIS": "true"}, "E106", "LLM_GATEWAY_ENABLE_REDIS"),
        ({"LLM_GATEWAY_GATWAY_PORT": "4000"}, "E106", "LLM_GATEWAY_GATEWAY_PORT"),
        ({"LLM_GATEWAY_ENGINE": "docker"}, "E107", "native"),
        ({"LLM_GATEWAY_BIND": "not an address"}, "E105", "address"),
        ({"LLM_GATEWAY_PUBLIC_URL": "gateway.example"}, "E105", "http"),
    ],
)
def test_a_bad_variable_is_named(made: Home, variables: dict[str, str], code: str, says: str) -> None:
    error = made.error("plan", code=2, variables=variables)
    assert error["code"] == code
    assert says in json.dumps(error)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--workers", "many"], "E105"),
        (["--workers", "65"], "E105"),
        (["--timeout", "0"], "E105"),
        (["--log-level", "loud"], "E105"),
        (["--enable-redis=maybe"], "E114"),
        (["--no-such-flag"], "E114"),
        (["one", "two"], "E114"),
        (["--config"], "E114"),
    ],
)
def test_a_bad_flag_is_named(made: Home, flags: list[str], code: str) -> None:
    # `--json` first: `--config` would take it for its value.
    done = made.run("start", "--json", *flags)
    assert done.returncode == 2
    assert [error["code"] for error in json.loads(done.stdout)["errors"]] == [code]


def test_a_remembered_value_that_is_no_longer_allowed_names_its_file(made: Home) -> None:
    made.state.mkdir()
    (made.state / "options.json").write_text('{"engine": "podman"}')
    error = made.error("plan", code=2)
    assert (error["code"], "state/options.json" in error["message"]) == ("E105", True)


def test_precedence_and_where_each_value_came_from(made: Home) -> None:
    made.state.mkdir()
    (made.state / "options.json").write_text('{"workers": 3, "logLevel": "info"}')
    variables = {"LLM_GATEWAY_WORKERS": "", "LLM_GATEWAY_LOG_LEVEL": "error", "LLM_GATEWAY_ENABLE_REDIS": "true"}
    chosen = made.ask("plan", "--no-enable-redis", variables=variables)["data"]["choices"]
    assert chosen["workers"] == {"value": 3, "source": "state/options.json"}
    assert chosen["logLevel"] == {"value": "error", "source": "LLM_GATEWAY_LOG_LEVEL"}
    assert chosen["enableRedis"] == {"value": False, "source": "flag"}
    assert chosen["enableLago"] == {"value": False, "source": "default"}


# -- ports -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["gateway", "postgres", "redis"])
def test_a_taken_port_is_named_with_its_holder(made: Home, service: str) -> None:
    import os
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", made.ports[service]))
        holder.listen()
        error = made.error("start", "--detach", code=3)
        assert error["code"] == "E301"
        assert f"{made.ports[service]}" in error["message"]
        assert f"pid {os.getpid()}" in error["message"]
        assert "--auto-ports" in error["next"]
        made.nothing_runs(seconds=0.1)
        ports = made.ask("plan", "--auto-ports")["data"]["ports"]
        assert ports[f"{service}Port"] != made.ports[service]


def test_one_port_for_two_services_is_refused(made: Home) -> None:
    (port,) = free_ports(1)
    error = made.error("plan", "--gateway-port", str(port), "--redis-port", str(port), code=3)
    assert (error["code"], str(port) in error["message"]) == ("E301", True)


# -- credentials -----------------------------------------------------------------------------------------------------


def test_known_credentials_are_refused_on_an_address_others_reach(made: Home) -> None:
    error = made.error("start", "--start-with-defaults", "--bind", "0.0.0.0", "--detach", code=2)
    assert error["code"] == "E108"
    assert "LITELLM_MASTER_KEY" in error["message"]
    assert "0.0.0.0" in error["message"]
    assert not made.env_file.exists()
    # The database's default password is as well known; PostgreSQL itself listens on loopback only.
    assert made.ask("plan", "--bind", "0.0.0.0")["ok"]
    made.state.mkdir(exist_ok=True)
    made.env_file.write_text("LITELLM_MASTER_KEY=sk-password\n")
    assert made.error("plan", "--bind", "::", code=2)["code"] == "E108"


@pytest.mark.parametrize("key", ["sk-1234", "a-key-without-its-prefix"])
def test_a_master_key_that_litellm_refuses_is_refused_at_once(made: Home, key: str) -> None:
    made.state.mkdir()
    made.env_file.write_text(f"LITELLM_MASTER_KEY={key}\n")
    error = made.error("start", "--detach", "--force", "--no-database", "--no-enable-redis", code=2)
    assert error["code"] == "E520"
    assert "without-its-prefix" not in json.dumps(error)
    made.nothing_runs(seconds=0.5)


# -- the home --------------------------------------------------------------------------------------------------------


def test_a_home_that_is_a_file(made: Home) -> None:
    file = made.root / "file"
    file.write_text("")
    for place in (file, file / "below"):
        variables = {"LLM_GATEWAY_HOME": str(place)}
        assert made.error("start", "--detach", code=3, variables=variables)["code"] == "E101"
        assert made.error("init", code=3, variables=variables)["code"] == "E101"
        for verb in ("status", "stop", "doctor", "plan"):
            done = made.run(verb, "--json", variables=variables)
            assert done.returncode in {0, 1, 2, 3}
            assert "E199" not in done.stdout


def test_looking_at_a_home_that_does_not_exist_makes_nothing(made: Home) -> None:
    variables = {"LLM_GATEWAY_HOME": str(made.root / "nothing")}
    for verb, code in (("status", 1), ("plan", 0), ("stop", 0), ("logs", 0), ("connect", 0), ("doctor", None)):
        done = made.run(verb, "--json", variables=variables)
        assert code is None or done.returncode == code, done.stdout
    assert not (made.root / "nothing").exists()


def test_data_without_its_env_is_refused_with_the_repair(made: Home) -> None:
    made.ask("init")
    data = made.state / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("15\n")
    kept = made.env_file.rename(made.root / "kept.env")
    error = made.error("start", "--detach", code=3)
    assert error["code"] == "E109"
    assert str(made.env_file) in error["next"]
    assert not made.env_file.exists()
    kept.rename(made.env_file)
    assert made.ask("plan")["ok"]


def test_a_socket_directory_that_somebody_else_made_is_not_used(tmp_path: Path) -> None:
    """With a long home path the sockets stand in /tmp, where anybody may make a directory first."""
    with home(name="x" * 90) as made:
        directory = Path("/tmp") / f"llm-gateway-{__import__('os').getuid()}-{made.id}"
        directory.mkdir(mode=0o777)
        directory.chmod(0o777)
        try:
            error = made.error("start", "--detach", code=3)
            assert str(directory) in error["message"]
        finally:
            shutil.rmtree(directory)
