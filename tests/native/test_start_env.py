"""`.env`: the documented defaults, a file from seed 004, edited values; and the database that belongs to it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from support.home import Home, home, kill, prepared_venvs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The README of seed 004 shows this file; its values are what `startWithDefaults` promises.
SEED = """\
DATABASE_URL="postgresql://postgres:postgres@localhost:5432/litellm" # Default database URL
LANGFUSE_PUBLIC_KEY=""                                               # Langfuse public key
LANGFUSE_SECRET_KEY=""                                               # Langfuse secret key
LANGFUSE_HOST="http://localhost:3000"                                # Default Langfuse host
REDIS_HOST="localhost"                                               # Default Redis host
REDIS_PASSWORD=""                                                    # left empty
REDIS_PORT="6379"                                                    # Default Redis port
OPENAI_API_KEY="sk-mine"                                             # OpenAI API key

export OWN_SETTING='two words # not a comment'
PRESIDIO_ANALYZER_API_BASE="http://localhost:5001"                   # Default Presidio Analyzer API base URL
PRESIDIO_ANONYMIZER_API_BASE="http://localhost:5002"                 # Default Presidio Anonymizer API base URL
LITELLM_MASTER_KEY="sk-password"                                     # LiteLLM admin password"""
DEFAULTS = {
    "DATABASE_URL": "postgresql://postgres:postgres@localhost:5432/litellm",
    "LANGFUSE_PUBLIC_KEY": "pk-lf-fd5d8fba-5134-4037-884d-d6780894a65a",
    "LANGFUSE_SECRET_KEY": "sk-lf-10122a92-da11-4423-b3f7-ad10e5f268fc",
    "LANGFUSE_HOST": "http://localhost:3000",
    "REDIS_HOST": "localhost",
    "REDIS_PASSWORD": "",
    "REDIS_PORT": "6379",
    "OPENAI_API_KEY": "",
    "PRESIDIO_ANALYZER_API_BASE": "http://localhost:5001",
    "PRESIDIO_ANONYMIZER_API_BASE": "http://localhost:5002",
    "LITELLM_MASTER_KEY": "sk-password",
    "LLM_GATEWAY_VIRTUAL_KEY": "sk-TE5BPNfSh4IOCNpW3I5EDQ",
}
_CHAT = """
import json, sys, urllib.request
for key in sys.argv[1:]:
    body = json.dumps({"model": "demo-chat", "messages": [{"role": "user", "content": "Hello!"}]}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request("http://localhost:4000/v1/chat/completions", body, headers)
    print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).status)
"""


@pytest.fixture
def machine() -> Iterator[Home]:
    """A home on a network of its own, where the documented ports are free."""
    prepared_venvs()
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "up\n":
            pytest.skip("no network namespace can be made here")
        with home() as made:
            made.prefix = ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--")
            for name in ("GATEWAY", "POSTGRES", "REDIS"):
                del made.environ[f"LLM_GATEWAY_{name}_PORT"]
            yield made
    finally:
        kill(holder.pid)
        holder.wait()


@pytest.mark.needs("root")
def test_start_with_defaults_has_exactly_the_documented_values_and_both_keys_answer(machine: Home) -> None:
    data = machine.start("--start-with-defaults")
    values = machine.values()
    assert {name: values[name] for name in DEFAULTS} == DEFAULTS
    # The salt protects provider keys and was never published: it is the home's own even here.
    assert re.fullmatch(r"sk-[0-9a-f]{64}", values["LITELLM_SALT_KEY"])
    assert (data["url"], data["key"], data["ui"]["password"]) == (
        "http://localhost:4000", "sk-TE5BPNfSh4IOCNpW3I5EDQ", "sk-password",
    )  # fmt: skip
    done = machine.run("exec", "--", "python", "-c", _CHAT, "sk-password", "sk-TE5BPNfSh4IOCNpW3I5EDQ")
    assert done.stdout.split() == ["200", "200"], done.stderr


@pytest.mark.needs("root")
@pytest.mark.long
def test_an_env_of_seed_004_is_taken_over_line_by_line(machine: Home) -> None:
    (machine.root / ".env").write_text(SEED)
    data = machine.start()
    text = machine.env_file.read_text()
    assert text.startswith(SEED + "\n")
    assert (machine.root / ".env").resolve() == machine.env_file
    assert stat.S_IMODE(machine.env_file.stat().st_mode) == 0o600
    added = {line.split("=", 1)[0] for line in text[len(SEED) :].splitlines() if "=" in line and line[0] != "#"}
    assert {"LITELLM_SALT_KEY", "LLM_GATEWAY_VIRTUAL_KEY"} <= added
    assert not added & set(re.findall(r"^(?:export )?(\w+)=", SEED, re.MULTILINE))
    done = machine.run("exec", "--", "python", "-c", _CHAT, "sk-password", data["key"])
    assert done.stdout.split() == ["200", "200"], done.stderr
    assert machine.run("exec", "--", "printenv", "OWN_SETTING").stdout == "two words # not a comment\n"
    machine.ask("restart")
    assert machine.env_file.read_text() == text


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_a_seed_004_port_and_another_setting_contradict_each_other(service: str) -> None:
    with home("LLM_GATEWAY_ENABLE_REDIS=true") as made:
        if service == "redis":
            made.environ["LLM_GATEWAY_DATABASE"] = "false"
        else:
            made.environ["LLM_GATEWAY_ENABLE_REDIS"] = "false"
        made.state.mkdir()
        made.env_file.write_text(SEED)
        done = made.run("plan", "--json")
        placement = json.loads(done.stdout)["data"].get("placements", {}).get(service, {})
        if placement.get("where") == "external":
            pytest.skip(f"somebody runs {service} on the documented port of this machine")
        (error,) = json.loads(done.stdout)["errors"]
        assert (done.returncode, error["code"]) == (2, "E117")
        assert str(made.ports[service]) in error["message"]


def _database(made: Home) -> str:
    return made.values()["DATABASE_URL"]


def _superuser(made: Home) -> str:
    return f"postgresql://postgres:{made.values()['POSTGRES_PASSWORD']}@127.0.0.1:{made.ports['postgres']}/litellm"


@pytest.mark.long
def test_what_a_database_remembers_is_checked_before_it_is_touched() -> None:
    """Salt, schema and backups: one database through its life. Redis is left out, it plays no part."""
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        first = made.start()
        own = made.new_key(first["ui"]["password"], key_alias="kept")

        # A migration that is pending again: the database is saved before anything happens to it.
        with psycopg.connect(_superuser(made), autocommit=True) as connection:
            (name,) = _row(connection, 'SELECT migration_name FROM "_prisma_migrations" ORDER BY 1 DESC LIMIT 1')
            connection.execute('DELETE FROM "_prisma_migrations" WHERE migration_name = %s', [name])
        plan = made.ask("stop") and made.ask("plan")["data"]["database"]
        assert "saved" in plan
        started = made.run("start", "--detach")
        (backup,) = (made.state / "backups").glob("*.dump")
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700
        if started.returncode == 0:
            assert str(backup) in started.stderr
            assert made.answers(own) == ""
            made.ask("stop")
        _restores(made, backup, own)

        # An older kit met by a newer database.
        env = made.env_file.read_text()
        _while_database_runs(
            made,
            """INSERT INTO "_prisma_migrations" (id, checksum, finished_at, migration_name, applied_steps_count)
               VALUES ('00000000-0000-4000-8000-000000000000', 'x', now(), '29990101000000_from_the_future', 1)""",
        )
        error = made.error("start", "--detach", code=1)
        assert error["code"] == "E424"
        assert "29990101000000_from_the_future" in json.dumps(error)
        made.nothing_runs(seconds=1)
        _while_database_runs(
            made, """DELETE FROM "_prisma_migrations" WHERE migration_name = '29990101000000_from_the_future'"""
        )

        # Another salt would make every stored provider key unreadable.
        made.env_file.write_text(re.sub(r"^LITELLM_SALT_KEY=.*$", "LITELLM_SALT_KEY=sk-other", env, flags=re.MULTILINE))
        error = made.error("start", "--detach", code=3)
        assert (error["code"], "LITELLM_SALT_KEY" in error["message"]) == ("E330", True)
        made.nothing_runs(seconds=1)
        made.env_file.write_text(env)

        # Another DATABASE_URL is another server; the old one brings everything back.
        made.env_file.write_text(env.replace(f":{made.ports['postgres']}/", ":1/"))
        error = made.error("start", "--detach", code=1)
        assert (error["code"], "127.0.0.1:1" in error["message"] or "localhost:1" in error["message"]) == ("E323", True)
        made.env_file.write_text(env)

        # The memory of what the kit wrote is lost, not the data.
        (made.state / "rendered.json").write_text("{")
        command = made.error("start", "--detach", code=2)["next"]
        subprocess.run(command[command.index("mv ") :], shell=True, check=True)
        assert made.start()["key"] == first["key"]
        assert made.answers(own) == ""
        assert made.env_file.read_text() == env


def _row(connection: psycopg.Connection[tuple[object, ...]], query: str) -> tuple[object, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def _while_database_runs(made: Home, statement: str) -> None:
    """Change the stopped home's database: its own server is started for it, without the kit."""
    from support.postgres import unprivileged_user

    data = (made.state / "postgres").resolve()
    version = (data / "PG_VERSION").read_text().strip()
    options = f"-c port={made.ports['postgres']} -c listen_addresses=localhost -c unix_socket_directories="
    control = [
        f"/usr/lib/postgresql/{version}/bin/pg_ctl",
        "-D",
        str(data),
        "-s",
        "-w",
        "-o",
        options,
        "-l",
        "/dev/null",
    ]
    as_user = {"user": unprivileged_user(), "extra_groups": []} if unprivileged_user() else {}
    subprocess.run([*control, "start"], check=True, cwd="/", **as_user)
    try:
        with psycopg.connect(_superuser(made), autocommit=True) as connection:
            connection.execute(statement.encode())
    finally:
        subprocess.run([*control[:4], "-w", "-m", "fast", "stop"], check=True, cwd="/", **as_user)


def _restores(made: Home, backup: Path, key: str) -> None:
    """The dump opens in an empty database of another server and holds the key."""
    import hashlib

    from support.postgres import cluster

    with cluster() as server:
        name = server.create_database()
        subprocess.run(
            [server.bin / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={server.url(name)}", backup],
            check=True, capture_output=True,
        )  # fmt: skip
        with server.connect(name) as connection:
            token = hashlib.sha256(key.encode()).hexdigest()
            (count,) = _row(connection, f"""SELECT count(*) FROM "LiteLLM_VerificationToken" WHERE token = '{token}'""")
        assert count == 1
