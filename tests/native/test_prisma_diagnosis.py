"""Prisma's own schema engine (WebAssembly, from npm) reads the ledger that the applier wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import litellm_proxy_extras
import psycopg
import pytest

if TYPE_CHECKING:
    from llm_gateway.prisma_wasm.runtime import PrismaRuntime

pytestmark = pytest.mark.needs("node", "postgres", "index")

_PACKAGE = "@prisma/schema-engine-wasm@7.1.1-3.c2990dca591cba766e3b7ef5d9e8a84796e47ab7"
_SCRIPT = Path(__file__).with_name("diagnose_migrations.mjs")


@pytest.mark.long
def test_prisma_finds_nothing_wrong(prisma_runtime: PrismaRuntime, migrated: str, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    npm = [shutil.which("npm") or "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", _PACKAGE]
    subprocess.run(npm, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    [engine] = prisma_runtime.engine.parent.glob("engine-*")
    migrations = Path(litellm_proxy_extras.__file__).with_name("migrations")

    def diagnose() -> dict[str, Any]:
        command = [str(prisma_runtime.node), str(_SCRIPT), str(tmp_path), str(engine), str(migrations)]
        environment = {**os.environ, "DATABASE_URL": migrated}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    answer = diagnose()
    assert answer["hasMigrationsTable"] is True
    assert (answer["editedMigrationNames"], answer["failedMigrationNames"]) == ([], [])
    assert answer.get("history") is None
    with psycopg.connect(migrated, autocommit=True) as connection:
        rows = "_prisma_migrations"
        connection.execute(f"UPDATE {rows} SET checksum = repeat('0', 64) WHERE migration_name LIKE '%_baseline'")
        connection.execute(f"DELETE FROM {rows} WHERE started_at = (SELECT max(started_at) FROM {rows})")
    answer = diagnose()
    assert answer["editedMigrationNames"] == ["20250326162113_baseline"]
    assert answer["history"]["diagnostic"] == "databaseIsBehind"
