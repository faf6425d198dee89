"""The migration applier against real databases: complete, repeatable, concurrent, interrupted, refused."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from llm_gateway.errors import DeadlineError, PreconditionError
from llm_gateway.prisma_wasm.ledger import installed_migrations
from llm_gateway.prisma_wasm.migrate import (
    LOCK,
    MigrationError,
    apply,
    inspect,
    resolve_applied,
    resolve_rolled_back,
)
from llm_gateway.probes import Deadline, wait

if TYPE_CHECKING:
    from support.postgres import Cluster

pytestmark = pytest.mark.needs("postgres")

_SOURCE = str(Path(__file__).parents[2] / "src")


def _query(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query, parameters or None)
        return cursor.fetchall() if cursor.description else []


def _directory(place: Path, **files: str) -> Path:
    for name, text in files.items():
        (place / name).mkdir()
        (place / name / "migration.sql").write_text(text)
    return place


def test_all_installed_migrations_and_then_none(database: str) -> None:
    known = [migration.name for migration in installed_migrations()]
    assert len(known) == 213
    assert inspect(database).state == "empty"
    assert _query(database, "SELECT to_regclass('_prisma_migrations')") == [(None,)]
    report = apply(database, deadline=Deadline(60))
    assert list(report.applied) == known
    ledger = inspect(database)
    assert (ledger.state, list(ledger.applied), ledger.pending) == ("current", known, ())
    assert apply(database, deadline=Deadline(60)).applied == ()
    assert _query(database, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_the_ledger_is_prismas(database: str) -> None:
    apply(database, deadline=Deadline(60))
    columns = _query(
        database,
        "SELECT column_name, data_type, character_maximum_length, is_nullable, column_default "
        "FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position",
    )
    stamp = "timestamp with time zone"
    assert columns == [
        ("id", "character varying", 36, "NO", None),
        ("checksum", "character varying", 64, "NO", None),
        ("finished_at", stamp, None, "YES", None),
        ("migration_name", "character varying", 255, "NO", None),
        ("logs", "text", None, "YES", None),
        ("rolled_back_at", stamp, None, "YES", None),
        ("started_at", stamp, None, "NO", "now()"),
        ("applied_steps_count", "integer", None, "NO", "0"),
    ]
    rows = _query(
        database,
        "SELECT id, checksum, migration_name, finished_at >= started_at, logs, rolled_back_at, "
        "applied_steps_count FROM _prisma_migrations ORDER BY started_at, migration_name",
    )
    for row, migration in zip(rows, installed_migrations(), strict=True):
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", row[0])
        assert row[1:] == (hashlib.sha256(migration.content).hexdigest(), migration.name, True, None, None, 1)


def test_two_at_once_share_the_work(database: str) -> None:
    barrier = threading.Barrier(3)

    def start() -> int:
        barrier.wait()
        return len(apply(database, deadline=Deadline(60)).applied)

    with ThreadPoolExecutor(3) as pool:
        counts = sorted(future.result() for future in [pool.submit(start) for _ in range(3)])
    assert counts == [0, 0, 213]
    assert inspect(database).state == "current"
    assert _query(database, "SELECT count(*) FROM _prisma_migrations") == [(213,)]


def test_the_lock_is_waited_for_no_longer_than_asked(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        with pytest.raises(DeadlineError) as refused:
            apply(database, deadline=Deadline(0.3))
        assert refused.value.problem.code == "E425"
    assert inspect(database).state == "empty"


def test_inspect_writes_nothing_and_needs_no_lock(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        assert inspect(database).state == "empty"


def _kill_while_waiting(database: str, migrations: Path, locked: str) -> None:
    """Start an applier, hold a table lock that its migration needs, and kill it there."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from llm_gateway.prisma_wasm.migrate import apply\nfrom llm_gateway.probes import Deadline\n"
        "apply(sys.argv[1], deadline=Deadline(60), migrations=Path(sys.argv[2]))"
    )
    with psycopg.connect(database) as holder:
        holder.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE")
        applier = subprocess.Popen(
            [sys.executable, "-c", code, database, str(migrations)], env={**os.environ, "PYTHONPATH": _SOURCE}
        )
        blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        reason = wait(lambda: "" if _query(database, blocked) else "not waiting", Deadline(20))
        applier.kill()
        applier.wait()
        assert not reason
        sessions = "FROM pg_stat_activity WHERE application_name = 'llm-gateway-migrate'"
        _query(database, f"SELECT pg_terminate_backend(pid) {sessions}")
        assert not wait(lambda: "alive" if _query(database, f"SELECT 1 {sessions}") else "", Deadline(10))


def test_killed_inside_a_migration_leaves_nothing_and_goes_on(database: str, tmp_path: Path) -> None:
    _query(database, "CREATE SCHEMA elsewhere")
    _query(database, "CREATE TABLE elsewhere.held (id int)")
    migrations = _directory(
        tmp_path,
        **{
            "20250101000000_one": "CREATE TABLE one (id int);",
            "20250102000000_two": "CREATE TABLE two (id int); INSERT INTO elsewhere.held VALUES (1);",
        },
    )
    _kill_while_waiting(database, migrations, "elsewhere.held")
    ledger = inspect(database, migrations=migrations)
    assert (ledger.state, ledger.pending, ledger.failed) == ("pending", ("20250102000000_two",), ())
    assert _query(database, "SELECT to_regclass('two')") == [(None,)]
    assert apply(database, deadline=Deadline(20), migrations=migrations).applied == ("20250102000000_two",)
    assert _query(database, "SELECT count(*) FROM elsewhere.held") == [(1,)]


def test_killed_inside_a_concurrent_index_is_repaired(database: str, tmp_path: Path) -> None:
    index = 'CREATE INDEX CONCURRENTLY IF NOT EXISTS "the_index" ON "held" ("id");'
    migrations = _directory(tmp_path, **{"20250101000000_one": 'CREATE TABLE "held" (id int);'})
    apply(database, deadline=Deadline(20), migrations=migrations)
    _directory(tmp_path, **{"20250102000000_two": f"-- comment\n{index}\n"})
    _kill_while_waiting(database, migrations, "held")
    assert inspect(database, migrations=migrations).state == "failed"
    # What a build that got further leaves behind.
    _query(database, "CREATE INDEX the_index ON held (id)")
    _query(database, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'the_index'::regclass")
    assert apply(database, deadline=Deadline(20), migrations=migrations).applied == ("20250102000000_two",)
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'the_index'::regclass"
    assert _query(database, valid) == [(True,)]
    assert inspect(database, migrations=migrations).state == "current"


def test_a_migration_that_fails_stops_everything(database: str, tmp_path: Path) -> None:
    names = ("20250101000000_one", "20250102000000_two", "20250103000000_three")
    texts = (
        "CREATE TABLE one (id int);",
        "CREATE TABLE two (id int); SELECT 1/0;",
        "CREATE TABLE three (id int);",
    )
    migrations = _directory(tmp_path, **dict(zip(names, texts, strict=True)))
    with pytest.raises(MigrationError) as failed:
        apply(database, deadline=Deadline(20), migrations=migrations)
    assert failed.value.problem.code == "E423"
    for part in (
        "P3018",
        f"Migration name: {names[1]}\n",
        "Database error code: 22012\n",
        "division by zero",
    ):
        assert part in failed.value.prisma
    assert _query(database, "SELECT to_regclass('two'), to_regclass('three')") == [(None, None)]
    with pytest.raises(MigrationError) as again:
        apply(database, deadline=Deadline(20), migrations=migrations)
    assert again.value.problem.code == "E422"
    named = re.search(r"The `(\S+)` migration started at ([^\r\n]+?) failed", again.value.prisma)
    assert named is not None
    found = _query(
        database,
        "SELECT logs FROM _prisma_migrations WHERE migration_name = %s AND started_at = %s::timestamptz "
        "AND finished_at IS NULL AND rolled_back_at IS NULL AND applied_steps_count = 0",
        *named.groups(),
    )
    assert "division by zero" in found[0][0]
    ledger = inspect(database, migrations=migrations)
    assert (ledger.state, [row.name for row in ledger.failed]) == ("failed", [names[1]])
    (tmp_path / names[1] / "migration.sql").write_text("CREATE TABLE two (id int);")
    resolve_rolled_back(database, names[1])
    assert apply(database, deadline=Deadline(20), migrations=migrations).applied == names[1:]


def test_an_unfinished_row_of_another_program_is_not_guessed_at(database: str, tmp_path: Path) -> None:
    migrations = _directory(tmp_path, **{"20250101000000_one": "CREATE TABLE one (id int);"})
    apply(database, deadline=Deadline(20), migrations=migrations)
    _query(database, "UPDATE _prisma_migrations SET finished_at = NULL, applied_steps_count = 0")
    with pytest.raises(MigrationError) as refused:
        apply(database, deadline=Deadline(20), migrations=migrations)
    assert refused.value.problem.code == "E422"
    resolve_applied(database, "20250101000000_one", migrations=migrations)
    assert inspect(database, migrations=migrations).state == "current"
    with pytest.raises(MigrationError, match="E428") as twice:
        resolve_applied(database, "20250101000000_one", migrations=migrations)
    assert "is already recorded as applied in the database." in twice.value.prisma
    with pytest.raises(MigrationError, match="E429"):
        resolve_applied(database, "20250109000000_nine", migrations=migrations)


def test_no_way_back_to_an_older_version(migrated: str, tmp_path: Path) -> None:
    older = installed_migrations()[:-1]
    migrations = _directory(tmp_path, **{migration.name: migration.text for migration in older})
    ledger = inspect(migrated, migrations=migrations)
    assert (ledger.state, ledger.unknown) == ("newer", (installed_migrations()[-1].name,))
    before = _query(migrated, "SELECT * FROM _prisma_migrations ORDER BY 1")
    with pytest.raises(MigrationError) as refused:
        apply(migrated, deadline=Deadline(20), migrations=migrations)
    assert refused.value.problem.code == "E424"
    assert _query(migrated, "SELECT * FROM _prisma_migrations ORDER BY 1") == before


def test_foreign_tables_are_left_alone(database: str) -> None:
    _query(database, "CREATE TABLE somebody_elses (id int)")
    assert inspect(database).state == "foreign-tables"
    with pytest.raises(MigrationError) as refused:
        apply(database, deadline=Deadline(20))
    assert refused.value.problem.code == "E421"
    assert refused.value.prisma.startswith("Error: P3005\n\nThe database schema is not empty.")
    assert _query(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(1,)]
    assert apply(f"{database}?schema=own%20one", deadline=Deadline(60)).applied
    tables = _query(database, "SELECT count(*) > 90 FROM pg_tables WHERE schemaname = 'own one'")
    assert tables == [(True,)]


def test_a_deadlock_is_tried_again(database: str, tmp_path: Path) -> None:
    """Two sessions take two tables in opposite order; PostgreSQL ends one of them."""
    _query(database, "CREATE SCHEMA e; CREATE TABLE e.a (id int); CREATE TABLE e.b (id int)")
    text = "SET LOCAL deadlock_timeout = '100ms'; LOCK TABLE e.a; LOCK TABLE e.b; CREATE TABLE done (id int);"
    migrations = _directory(tmp_path, **{"20250101000000_one": text})
    with psycopg.connect(database) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SET deadlock_timeout = '30s'; LOCK TABLE e.b")
        applying = pool.submit(apply, database, deadline=Deadline(30), migrations=migrations)
        blocked = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'e.b'::regclass"
        assert not wait(lambda: "" if _query(database, blocked) else "not waiting", Deadline(10))
        other.execute("LOCK TABLE e.a")
        other.rollback()
        assert applying.result(20).applied == ("20250101000000_one",)
    assert _query(database, "SELECT logs FROM _prisma_migrations") == [(None,)]


def test_an_owner_without_any_other_right(postgres: Cluster) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE ROLE only_owner LOGIN PASSWORD 'x' NOSUPERUSER NOCREATEDB NOCREATEROLE")
    name = postgres.create_database(owner="only_owner")
    try:
        assert len(apply(postgres.url(name, user="only_owner", password="x"), deadline=Deadline(60)).applied) == 213
    finally:
        postgres.drop_database(name)
        with postgres.connect() as connection:
            connection.execute("DROP ROLE only_owner")


def test_the_deadline_stops_between_two_migrations(database: str, tmp_path: Path) -> None:
    migrations = _directory(
        tmp_path,
        **{"20250101000000_one": "SELECT pg_sleep(0.3);", "20250102000000_two": "CREATE TABLE two (id int);"},
    )
    with pytest.raises(DeadlineError, match="E426"):
        apply(database, deadline=Deadline(0.2), migrations=migrations)
    assert inspect(database, migrations=migrations).pending == ("20250102000000_two",)


def test_without_migrations_nothing_is_called_current(database: str, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="E427"):
        inspect(database, migrations=tmp_path)


def _cli(
    database: str | None, *words: str, directory: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "DIRECT_URL"}}
    if database:
        variables["DATABASE_URL"] = database
    return subprocess.run(
        [sys.executable, "-m", "llm_gateway.prisma_wasm.cli", *words],
        env={**variables, "PYTHONPATH": _SOURCE, **more},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_cli_deploys_and_says_when_nothing_is_left(database: str) -> None:
    first, second = (_cli(database, "migrate", "deploy") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert "No pending migrations to apply" not in first.stdout
    assert "No pending migrations to apply" in second.stdout


def test_cli_prefers_the_direct_url(database: str) -> None:
    done = _cli("postgresql://u:p@127.0.0.1:1/pooler", "migrate", "deploy", DIRECT_URL=database)
    assert done.returncode == 0
    assert inspect(database).state == "current"


def test_cli_takes_the_migrations_of_its_directory(database: str, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    _directory(tmp_path / "migrations", **{"20250101000000_bad": "SELECT 1/0;"})
    done = _cli(database, "migrate", "deploy", directory=tmp_path)
    assert done.returncode == 1
    assert "P3018" in done.stderr
    assert "20250101000000_bad" in done.stderr
    assert "postgresql://" not in done.stderr + done.stdout
    done = _cli(database, "migrate", "resolve", "--rolled-back", "20250101000000_bad", directory=tmp_path)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["migrate", "diff", "--from-schema-datasource", "s", "--to-schema-datamodel", "s", "--exit-code"],
        ["db", "push", "--accept-data-loss"],
        ["migrate", "reset"],
        [],
    ],
)
def test_cli_refuses_what_it_cannot_answer_safely(migrated: str, words: list[str]) -> None:
    done = _cli(migrated, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("llm-gateway-prisma:")


def test_cli_other_answers(migrated: str, tmp_path: Path) -> None:
    assert _cli(None, "--version").returncode == 0
    drift = _cli(migrated, "migrate", "diff", "--from-url", migrated, "--to-schema-datamodel", "s", "--script")
    assert (drift.returncode, drift.stdout) == (0, "")
    file = tmp_path / "file.sql"
    file.write_text("CREATE TABLE executed (id int); DO $$ BEGIN PERFORM 1; END $$;")
    assert _cli(migrated, "db", "execute", "--file", str(file), "--schema", "s").returncode == 0
    assert _query(migrated, "SELECT count(*) FROM executed") == [(0,)]
    file.write_text("nonsense")
    assert _cli(migrated, "db", "execute", "--file", str(file), "--schema", "s").returncode == 1
    assert _cli(None, "migrate", "deploy").returncode == 1
    unreachable = _cli("postgresql://u:secret@127.0.0.1:1/x", "migrate", "deploy")
    assert unreachable.returncode == 1
    assert "P1001" in unreachable.stderr
    assert "secret" not in unreachable.stderr


def test_cli_says_in_litellms_words_that_it_waited_for_the_lock(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        done = _cli(database, "migrate", "deploy", LITELLM_PRISMA_MIGRATE_DEPLOY_TIMEOUT="0.5")
    assert done.returncode == 1
    assert "P1002" in done.stderr
    assert "advisory lock" in done.stderr
