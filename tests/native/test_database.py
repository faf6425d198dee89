"""Connecting, creating, the salt's fingerprint and backups, on a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from llm_gateway.database import backup
from llm_gateway.database.backup import KEPT, dump
from llm_gateway.database.salt import check_salt, record_salt
from llm_gateway.database.server import connect, ensure_database
from llm_gateway.database.url import parse
from llm_gateway.errors import GatewayError, PreconditionError
from support.ports import free_port
from support.postgres import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.postgres import Cluster

pytestmark = pytest.mark.needs("postgres")


def _query(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def test_every_refusal_has_its_own_code(postgres: Cluster) -> None:
    cases = {
        f"postgresql://u:hidden-one@127.0.0.1:{free_port()}/d": "E401",
        "postgresql://u:hidden-one@no-such-host.invalid/d": "E401",
        "postgresql:///d?host=/no/such/directory": "E401",
        postgres.url(password="hidden-one"): "E402",
        postgres.url(user="nobody-here", password="hidden-one"): "E402",
        postgres.url("no such database"): "E403",
        postgres.url(sslmode="require"): "E404",
        "mysql://u:hidden-one@h/d": "E407",
        "postgresql://u:hidden-one@h:port/d": "E407",
    }
    for url, code in cases.items():
        with pytest.raises(GatewayError) as refused:
            connect(url)
        assert refused.value.problem.code == code, refused.value.problem
        assert "hidden-one" not in str(refused.value.problem)


def test_a_server_that_is_not_ready_says_so() -> None:
    """Standby that waits for a primary: it refuses connections with the text of a starting server."""
    with cluster() as server:
        server.stop()
        (server.data / "standby.signal").touch()
        server.settings = {"hot_standby": "off", "primary_conninfo": "''"}
        shutil.chown(server.data / "standby.signal", server.data.owner())
        server.spawn()
        code = ""
        while code in {"", "E401"}:
            with pytest.raises(GatewayError) as refused:
                connect(server.url())
            code = refused.value.problem.code
        assert code == "E405"


def test_sockets_and_prismas_parameters(postgres: Cluster) -> None:
    url = f"{postgres.url()}?host={postgres.root}&connection_limit=3&pool_timeout=1&schema=x&pgbouncer=true"
    with connect(url) as connection:
        assert connection.info.host == str(postgres.root)
    assert parse(url).schema == "x"
    assert postgres.password not in repr(parse(url)) + str(parse(url))


@pytest.fixture
def names(postgres: Cluster) -> Iterator[tuple[str, str]]:
    """A database and a role that do not exist yet."""
    database, role = 'new "db', "new'role"
    yield database, role
    postgres.drop_database(database)
    with postgres.connect() as connection:
        connection.execute("""DROP ROLE IF EXISTS "new'role" """)


def test_ensure_database_creates_once(postgres: Cluster, names: tuple[str, str]) -> None:
    database, role = names
    first = ensure_database(postgres.url(), name=database, role=role, password="p'1")
    assert (first.role_created, first.database_created, first.password_changed) == (True, True, False)
    assert not ensure_database(postgres.url(), name=database, role=role, password="p'1").changed
    changed = ensure_database(postgres.url(), name=database, role=role, password="p2")
    assert (changed.role_created, changed.database_created, changed.password_changed) == (False, False, True)
    own = postgres.url(database, user=role, password="p2")
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert _query(own, owner) == [(role,)]
    with connect(own) as connection:
        connection.execute("CREATE TABLE mine (id int)")
    # Its owner may not create databases, and need not.
    assert not ensure_database(own, name=database, role=role, password="p2").changed
    with pytest.raises(PreconditionError, match="E430"):
        ensure_database(own, name="another", role=role, password="p2")


def test_ensure_database_at_the_same_time(postgres: Cluster, names: tuple[str, str]) -> None:
    database, role = names
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ensure_database, postgres.url(), name=database, role=role, password="p") for _ in range(4)]
        assert any(job.result().database_created for job in jobs)
    assert _query(postgres.url(database, user=role, password="p"), "SELECT 1") == [(1,)]


def test_an_administrator_who_is_no_superuser(postgres: Cluster, names: tuple[str, str]) -> None:
    database, role = names
    with postgres.connect() as connection:
        connection.execute("CREATE ROLE creator LOGIN PASSWORD 'x' CREATEDB CREATEROLE")
    admin = postgres.url(user="creator", password="x")
    assert ensure_database(admin, name=database, role=role, password="p").database_created
    postgres.drop_database(database)
    with postgres.connect() as connection:
        connection.execute('DROP OWNED BY creator; DROP OWNED BY "new\'role"; DROP ROLE creator')


def test_the_salt_is_remembered_but_not_readable(database: str) -> None:
    assert check_salt(database, "sk-one") == "new"
    assert _query(database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'llm_gateway'") == [(0,)]
    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(record_salt, database, "sk-one") for _ in range(4)]:
            job.result()
    assert check_salt(database, "sk-one") == "same"
    assert check_salt(database, "sk-two") == "different"
    [(key, value, updated)] = _query(database, "SELECT key, value, updated_at FROM llm_gateway.state")
    assert "sk-one" not in value
    record_salt(database, "sk-one")
    assert _query(database, "SELECT key, value, updated_at FROM llm_gateway.state") == [(key, value, updated)]
    record_salt(database, "sk-two")
    assert check_salt(database, "sk-two") == "same"


def _content(url: str) -> dict[str, Any]:
    tables = [
        f'"{schema}"."{name}"'
        for schema, name in _query(
            url, "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'llm_gateway')"
        )
    ]
    columns = _query(url, "SELECT table_name, column_name FROM information_schema.columns ORDER BY 1, 2")
    return {table: _query(url, f"SELECT * FROM {table} ORDER BY 1") for table in tables} | {"columns": columns}


def test_a_backup_can_be_restored(migrated: str, database: str, postgres: Cluster, tmp_path: Path) -> None:
    record_salt(migrated, "sk-one")
    _query(migrated, """INSERT INTO "LiteLLM_UserTable" (user_id, metadata) VALUES ('ü', '{"a": 1}')""")
    made = dump(migrated, tmp_path / "backups", search=[postgres.bin])
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.bytes == made.path.stat().st_size > 10_000
    assert made.path.parent.stat().st_mode & 0o777 == 0o700
    subprocess.run([postgres.bin / "pg_restore", f"--dbname={database}", made.path], check=True)
    assert _content(database) == _content(migrated)


def test_five_backups_are_kept(database: str, postgres: Cluster, tmp_path: Path) -> None:
    (tmp_path / "somebody-elses.dump").touch()
    made = [dump(database, tmp_path, search=[postgres.bin]) for _ in range(KEPT + 2)]
    assert sorted(tmp_path.glob("backup-*")) == [one.path for one in made[2:]]
    assert made[-1].removed == (made[1].path,)
    assert (tmp_path / "somebody-elses.dump").exists()


def _program(place: Path, text: str) -> Path:
    place.mkdir()
    (place / "pg_dump").write_text(f"#!/bin/sh\n{text}\n")
    (place / "pg_dump").chmod(0o755)
    return place


def test_the_password_is_in_no_argument_and_a_failure_leaves_no_file(
    database: str, postgres: Cluster, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    version = f'[ "$1" = --version ] && exec {postgres.bin}/pg_dump --version'
    text = f'{version}\necho "$@" > {seen}\necho no disk >&2\nexit 1'
    with pytest.raises(GatewayError) as failed:
        dump(database, tmp_path / "backups", search=[_program(tmp_path / "bin", text)])
    assert (failed.value.problem.code, failed.value.problem.cause) == ("E433", "no disk")
    assert postgres.password not in seen.read_text()
    assert list((tmp_path / "backups").iterdir()) == []


def test_only_a_new_enough_program_is_used(
    database: str, postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = _program(tmp_path / "old", "echo 'pg_dump (PostgreSQL) 9.6.24'")
    newer = _program(tmp_path / "newer", "echo 'pg_dump (PostgreSQL) 99beta1'")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PreconditionError, match="E431"):
        dump(database, tmp_path / "backups", search=[old])
    monkeypatch.setenv("PATH", os.pathsep.join([str(newer), str(postgres.bin)]))
    made = dump(database, tmp_path / "backups", search=[old])
    assert re.match(r"\d+", made.server)
    assert made.bytes > 0


def test_a_full_disk_is_noticed_before(
    database: str, postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(PreconditionError, match="E432"):
        dump(database, tmp_path, search=[postgres.bin])
    assert list(tmp_path.iterdir()) == []
