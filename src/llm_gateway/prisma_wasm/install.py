"""Prepare LiteLLM's database client: generate it, and provide a query engine for it."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from llm_gateway.errors import DeadlineError, InputError, PreconditionError
from llm_gateway.prisma_wasm import client, engine_files
from llm_gateway.prisma_wasm.files import write_atomically
from llm_gateway.prisma_wasm.native import find_native_engine
from llm_gateway.prisma_wasm.node import Node, find_node
from llm_gateway.prisma_wasm.npm import install_packages
from llm_gateway.prisma_wasm.runtime import PrismaRuntime
from llm_gateway.prisma_wasm.site import Site, locate
from llm_gateway.probes import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from llm_gateway.progress import Progress

CHOICE = "LLM_GATEWAY_PRISMA_ENGINE"
_TIMEOUT = 300.0
_NODE_NAME = "node.path"


@dataclass(frozen=True, slots=True)
class _Work:
    """What both halves of the preparation share."""

    directory: Path
    environment: Mapping[str, str]
    progress: Progress
    deadline: Deadline
    cancelled: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def build_directory(self) -> Iterator[Path]:
        build = Path(tempfile.mkdtemp(prefix="build-", dir=self.directory))
        try:
            yield build
        finally:
            shutil.rmtree(build, ignore_errors=True)


def prepare_client(
    *,
    python: Path,
    directory: Path,
    environment: Mapping[str, str],
    progress: Progress,
    node: Path | None = None,
    npm: Path | None = None,
    timeout: float = _TIMEOUT,
) -> PrismaRuntime:
    """Generate the client for `python` and put its engine into `directory`. Does only what is not done yet.

    Args:
        python: the interpreter that runs LiteLLM; may be the running one.
        directory: for the engine; created. One per installation.
        environment: PATH, npm's settings, proxies and certificates; `LLM_GATEWAY_PRISMA_ENGINE` chooses
            `native`, `wasm` or `auto` (native when an engine binary is set or found).
        progress: where steps are shown.
        node: this Node.js instead of PATH's.
        npm: this npm instead of the one beside `node` or on PATH.
        timeout: seconds for all of it.

    Raises:
        InputError: E408 the choice is not one of the three.
        PreconditionError: E409 `native` was chosen and there is no binary, E410 Node.js, E411 npm,
            E415 a Python package is missing, E416 `python` does not run.
        GatewayError: E413 npm, E414 unexpected files, E417 the generator, E418 no write permission.
        DeadlineError: E412, E419, E420 it took too long.
    """
    directory.mkdir(parents=True, exist_ok=True)
    deadline = Deadline(timeout)
    try:
        with FileLock(directory / ".lock", timeout=timeout):
            work = _Work(directory, environment, progress, deadline)
            return _prepare(work, python=python, node=node, npm=npm)
    except Timeout as error:
        raise DeadlineError(
            "E420",
            f"another process still prepares the database client in {directory}",
            cause=f"it holds {directory / '.lock'}",
            next="wait for it, or end it, then run the command again",
        ) from error


def _prepare(work: _Work, *, python: Path, node: Path | None, npm: Path | None) -> PrismaRuntime:
    site = locate(python, remembered=work.directory / "site.json")
    native = _native_engine(work.environment)
    wanted_client, wanted_engine = client.fingerprint(site), engine_files.fingerprint()
    engine = work.directory / f"engine-{wanted_engine[:16]}"
    found: Node | None = None

    jobs: list[Callable[[Node], None]] = []
    if not client.is_current(site, wanted_client):
        jobs.append(lambda node_: _generate(work, site, wanted_client, node_))
    if native is None and not engine.exists():
        jobs.append(lambda node_: _install_engine(work, engine, node_))
    remembered = _remembered_node(work.directory, node)
    if jobs or (native is None and remembered is None):
        found = find_node(work.environment, node=node, npm=npm)
        write_atomically(work.directory / _NODE_NAME, str(found.path))
        _remove_leftovers(work.directory, keep=engine)
        _together(work, [lambda job=job: job(found) for job in jobs])  # type: ignore[misc]
    node_path = found.path if found else remembered
    cli = _cli_launcher(work.directory)
    if native is not None:
        return PrismaRuntime("native", native, cli, node_path)
    assert node_path is not None  # noqa: S101 - find_node raises instead
    return PrismaRuntime("wasm", _engine_launcher(work.directory, engine, node_path), cli, node_path)


def _native_engine(environment: Mapping[str, str]) -> Path | None:
    choice = environment.get(CHOICE) or "auto"
    if choice not in {"auto", "native", "wasm"}:
        raise InputError(
            "E408",
            f"{CHOICE}={choice} is not known",
            cause="it is one of auto, native, wasm",
            next=f"unset {CHOICE}, or set it to one of these",
        )
    if choice == "wasm":
        return None
    native = find_native_engine(environment)
    if native is None and choice == "native":
        raise PreconditionError(
            "E409",
            "there is no native query engine",
            cause="PRISMA_QUERY_ENGINE_BINARY names no binary and prisma's cache directory has none",
            next=f"prisma py fetch (needs binaries.prisma.sh), or set {CHOICE}=wasm",
        )
    return native


def _remembered_node(directory: Path, node: Path | None) -> Path | None:
    """The Node.js of the last run while it is still there; asking one for its version takes 50 ms."""
    try:
        path = Path((directory / _NODE_NAME).read_text())
    except OSError:
        return None
    return path if path.exists() and node in {None, path} else None


def _together(work: _Work, jobs: list[Callable[[], None]]) -> None:
    """Run the jobs at the same time; when one fails the others are stopped."""
    with ThreadPoolExecutor(max_workers=len(jobs) or 1) as pool:
        running = [pool.submit(job) for job in jobs]
        try:
            for future in running:
                future.result()
        except BaseException:
            work.cancelled.set()
            raise


def _generate(work: _Work, site: Site, wanted: str, node: Node) -> None:
    with work.progress.step("database client"), work.build_directory() as build:
        client.generate(
            site,
            wanted,
            node=node,
            build=build,
            environment=work.environment,
            deadline=work.deadline,
            cancelled=work.cancelled,
        )


def _install_engine(work: _Work, engine: Path, node: Node) -> None:
    with work.progress.step("query engine"), work.build_directory() as build:
        install_packages(
            node,
            lock=engine_files.SOURCES,
            into=build,
            environment=work.environment,
            deadline=work.deadline,
            cancelled=work.cancelled,
        )
        engine_files.assemble(build)
        build.chmod(0o755)
        # Complete or absent: the name appears when everything is in it.
        build.rename(engine)


def _remove_leftovers(directory: Path, *, keep: Path) -> None:
    """What interrupted runs and older versions left; the lock says that nobody is using it."""
    for pattern in ("build-*", "engine-*"):
        for path in directory.glob(pattern):
            if path != keep:
                shutil.rmtree(path, ignore_errors=True)


def _engine_launcher(directory: Path, engine: Path, node: Path) -> Path:
    """A program that becomes the engine: LiteLLM watches and signals the process it started."""
    launcher = directory / "query-engine"
    version = f"query-engine {engine_files.fingerprint()[:40]}"
    command = shlex.join([str(node.absolute()), str(engine / "main.js")])
    text = (
        "#!/bin/sh\n"
        f'if [ "$1" = --version ]; then echo {shlex.quote(version)}; exit 0; fi\n'
        "export LLM_GATEWAY_ENGINE_PARENT=$PPID\n"
        f'exec {command} "$@"\n'
    )
    write_atomically(launcher, text, mode=0o755)
    return launcher


def _cli_launcher(directory: Path) -> Path:
    launcher = directory / "prisma-cli"
    code = (
        "import sys; sys.path.append(sys.argv.pop(1)); from llm_gateway.prisma_wasm.cli import main; sys.exit(main())"
    )
    command = shlex.join([sys.executable, "-c", code, str(Path(__file__).parents[2])])
    write_atomically(launcher, f'#!/bin/sh\nexec {command} "$@"\n', mode=0o755)
    return launcher
