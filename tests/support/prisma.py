"""LiteLLM's database client for tests: prepared once per session, migrated databases made from a template."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_gateway.prisma_wasm.install import prepare_client
from llm_gateway.prisma_wasm.migrate import apply
from llm_gateway.probes import Deadline, HttpProbe, wait
from llm_gateway.progress import Progress
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from llm_gateway.prisma_wasm.runtime import PrismaRuntime
    from support.postgres import Cluster


@pytest.fixture(scope="session")
def prisma_runtime(tmp_path_factory: pytest.TempPathFactory) -> PrismaRuntime:
    """The client of the Python that runs the tests, and an engine."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PRISMA_")}
    return prepare_client(
        python=Path(sys.executable),
        directory=tmp_path_factory.mktemp("prisma"),
        environment={**environment, "LLM_GATEWAY_PRISMA_ENGINE": "wasm"},
        progress=Progress(quiet=True),
    )


@pytest.fixture(scope="session")
def template(postgres: Cluster) -> Iterator[str]:
    """The name of a migrated database to copy."""
    name = postgres.create_database()
    apply(postgres.url(name), deadline=Deadline(120))
    yield name
    postgres.drop_database(name)


@pytest.fixture
def migrated(postgres: Cluster, template: str) -> Iterator[str]:
    """The URL of a fresh migrated database."""
    name = postgres.create_database(template=template)
    yield postgres.url(name)
    postgres.drop_database(name)


@dataclass(frozen=True)
class Orm:
    """A connected client on an event loop of its own."""

    db: Any
    url: str
    runner: asyncio.Runner

    def run(self, scenario: Callable[[Any], Awaitable[Any]]) -> Any:
        async def body() -> Any:
            return await scenario(self.db)

        return self.runner.run(body())


@contextmanager
def connected(runtime: PrismaRuntime, url: str) -> Iterator[Orm]:
    """A client in this process, connected to `url`."""
    os.environ.update(runtime.environment())
    import prisma

    with asyncio.Runner() as runner:
        db = prisma.Prisma(datasource={"url": url})
        runner.run(db.connect())
        try:
            yield Orm(db, url, runner)
        finally:
            runner.run(db.disconnect())


@pytest.fixture(scope="module")
def orm(prisma_runtime: PrismaRuntime, postgres: Cluster, template: str) -> Iterator[Orm]:
    """One client and one migrated database for all tests of a module; they use ids of their own."""
    name = postgres.create_database(template=template)
    with connected(prisma_runtime, postgres.url(name)) as client:
        yield client
    postgres.drop_database(name)


@dataclass
class EngineProcess:
    """An engine started by hand, as prisma-client-py starts it."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def until_ready(self) -> None:
        reason = wait(HttpProbe(f"{self.url}/status"), Deadline(20), alive=self.ended)
        assert not reason, f"{reason}\n{self.log.read_text()}"

    def ended(self) -> str:
        code = self.process.poll()
        return "" if code is None else f"the engine exited with {code}"


@contextmanager
def engine(
    runtime: PrismaRuntime, url: str, directory: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[EngineProcess]:
    """An engine process; not waited for."""
    import prisma

    port, log = free_port(), directory / "engine.log"
    schema = Path(prisma.__file__).with_name("schema.prisma")
    variables = {**os.environ, "PRISMA_DML_PATH": str(schema), "DATABASE_URL": url, **(environment or {})}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [runtime.engine, "-p", str(port), "--enable-metrics", "--enable-raw-queries"],
            env=variables,
            stdout=stream,
            stderr=stream,
        )
    try:
        yield EngineProcess(process, port, log)
    finally:
        process.kill()
        process.wait()
