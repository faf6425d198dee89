"""Preparing the client for another Python: complete, quick the second time, repaired, bounded, refused."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from llm_gateway.errors import DeadlineError, GatewayError, InputError, PreconditionError
from llm_gateway.prisma_wasm import engine_files
from llm_gateway.prisma_wasm.install import prepare_client
from llm_gateway.probes import Deadline, wait
from llm_gateway.progress import Progress
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_gateway.prisma_wasm.runtime import PrismaRuntime

pytestmark = pytest.mark.needs("node", "index")

_OURS = Path(sysconfig.get_path("purelib"))
_TRUE = Path(shutil.which("true") or "/bin/true")


def _environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PRISMA_", "LLM_GATEWAY_"))}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "LLM_GATEWAY_PRISMA_ENGINE": "wasm", **more}


def _new_python(place: Path) -> Path:
    """A virtual environment with prisma and litellm-proxy-extras as their wheels leave them."""
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    packages = next(place.glob("lib/python3.*/site-packages"))
    for name in ("prisma", "litellm_proxy_extras"):
        [info] = _OURS.glob(f"{name}-*.dist-info")
        for line in (info / "RECORD").read_text().splitlines():
            file = Path(line.rsplit(",", 2)[0])
            wanted = file.parts[0] == info.name or (file.parts[0] == name and "__pycache__" not in file.parts)
            if wanted and (_OURS / file).exists():
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(_OURS / file, packages / file)
    (packages / "others.pth").write_text(f"{_OURS}\n")
    return python


def _prepare(python: Path, directory: Path, **more: Any) -> PrismaRuntime:
    more.setdefault("environment", _environment())
    return prepare_client(python=python, directory=directory, progress=Progress(quiet=True), **more)


def _client(python: Path) -> Path:
    return next(python.parents[1].glob("lib/python3.*/site-packages/prisma"))


def _children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.status() != "zombie"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, PrismaRuntime]:
    """Python, directory and result of a first preparation."""
    place = tmp_path_factory.mktemp("other python")
    python = _new_python(place / "venv")
    return python, place / "engine", _prepare(python, place / "engine")


def test_the_client_works_in_the_other_python(prepared: tuple[Path, Path, PrismaRuntime]) -> None:
    python, directory, runtime = prepared
    code = "import prisma, sys; print(prisma.__file__); prisma.Prisma; assert 'client' in dir(prisma)"
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(str(python.parents[1]))
    for name in ("client", "models", "types", "actions"):
        assert list(_client(python).glob(f"__pycache__/{name}.*.pyc")), name
    assert runtime.environment()["PRISMA_QUERY_ENGINE_BINARY"] == str(directory / "query-engine")
    assert (runtime.mode, runtime.engine.parent, runtime.cli.parent) == ("wasm", directory, directory)
    answer = subprocess.run([runtime.cli, "--version"], capture_output=True, text=True, env={}, check=True)
    assert "prisma" in answer.stdout
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    assert size < 8_000_000
    assert list(directory.glob("build-*")) == []


def test_a_second_call_starts_nothing(
    prepared: tuple[Path, Path, PrismaRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    python, directory, runtime = prepared

    def forbidden(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", forbidden)
    times = []
    for _ in range(5):
        started = time.monotonic()
        assert _prepare(python, directory) == runtime
        times.append(time.monotonic() - started)
    assert min(times) < 0.05


def test_a_reinstalled_package_is_generated_again(prepared: tuple[Path, Path, PrismaRuntime]) -> None:
    python, directory, _ = prepared
    # What an interrupted generation leaves: a client that Python cannot import, and no stamp.
    (_client(python) / "client.py").write_text("def broken(\n")
    (_client(python) / "llm_gateway_client.json").unlink()
    (directory / "build-left-over").mkdir()
    _prepare(python, directory)
    code = "import prisma; prisma.Prisma"
    subprocess.run([python, "-c", code], check=True)
    assert list(directory.glob("build-*")) == []


@pytest.mark.parametrize("moment", ["npm", pytest.param("generator", marks=pytest.mark.long)])
def test_killed_and_started_again(prepared: tuple[Path, Path, PrismaRuntime], tmp_path: Path, moment: str) -> None:
    python, first, _ = prepared
    directory = tmp_path / "engine"
    if moment == "generator":
        (_client(python) / "llm_gateway_client.json").unlink()
        shutil.copytree(first, directory)
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from llm_gateway.prisma_wasm.install import prepare_client\n"
        "from llm_gateway.progress import Progress\n"
        "prepare_client(python=Path(sys.argv[1]), directory=Path(sys.argv[2]), environment=dict(os.environ),"
        " progress=Progress(quiet=True))"
    )
    source = str(Path(__file__).parents[2] / "src")
    installer = subprocess.Popen(
        [sys.executable, "-c", code, python, directory],
        env=_environment(PYTHONPATH=source),
        start_new_session=True,
    )
    try:

        def reached() -> str:
            if moment == "npm":
                return "" if list(directory.glob("build-*/node_modules")) else "no packages yet"
            return "" if (_client(python) / "types.py").exists() else "no types yet"

        if moment == "generator":
            (_client(python) / "types.py").unlink()
        assert not wait(reached, Deadline(60), alive=lambda: "" if installer.poll() is None else "it ended")
    finally:
        running = [installer_ := psutil.Process(installer.pid), *installer_.children(recursive=True)]
        for process in running:
            process.kill()
        installer.wait()
    psutil.wait_procs(running, timeout=10)
    _prepare(python, directory)
    subprocess.run([python, "-c", "import prisma; prisma.Prisma"], check=True)
    assert list(directory.glob("build-*")) == []


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    kept.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join()
        for connection in kept:
            connection.close()


def _registry(port: int, cache: Path) -> dict[str, str]:
    registry = f"http://user:hidden-one@127.0.0.1:{port}/"
    cleared = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "")
    return _environment(
        npm_config_registry=registry, npm_config_cache=str(cache), npm_config_noproxy="127.0.0.1", **cleared
    )


def test_a_registry_that_never_answers_does_not_hang(
    prepared: tuple[Path, Path, PrismaRuntime], tmp_path: Path, black_hole: int
) -> None:
    started, before = time.monotonic(), set(_children())
    with pytest.raises(DeadlineError) as refused:
        _prepare(prepared[0], tmp_path / "engine", environment=_registry(black_hole, tmp_path / "cache"), timeout=4)
    assert time.monotonic() - started < 8
    assert refused.value.problem.code == "E412"
    assert "does not answer" in refused.value.problem.cause
    assert set(_children()) <= before
    assert [path.name for path in (tmp_path / "engine").glob("build-*")] == []


def test_a_registry_that_refuses_is_named_as_the_cause(
    prepared: tuple[Path, Path, PrismaRuntime], tmp_path: Path
) -> None:
    with pytest.raises(GatewayError) as refused:
        _prepare(prepared[0], tmp_path / "engine", environment=_registry(free_port(), tmp_path / "cache"))
    problem = refused.value.problem
    assert (problem.code, problem.cause) == ("E413", "the package registry or proxy refuses the connection")
    assert "hidden-one" not in str(problem)


def _fake_node(place: Path, version: str) -> Path:
    place.mkdir()
    (place / "node").write_text(f"#!/bin/sh\necho {version}\n")
    (place / "node").chmod(0o755)
    return place


def test_a_missing_or_old_node_is_named(prepared: tuple[Path, Path, PrismaRuntime], tmp_path: Path) -> None:
    def refusal(path: str) -> PreconditionError:
        with pytest.raises(PreconditionError) as refused:
            _prepare(prepared[0], tmp_path / "engine", environment=_environment(PATH=path))
        return refused.value

    assert refusal("/nowhere").problem.code == "E410"
    old = refusal(str(_fake_node(tmp_path / "old", "v18.20.0")))
    assert old.problem.code == "E410"
    assert "is version 18" in old.problem.cause
    new = _fake_node(tmp_path / "new", "v24.1.0")
    assert refusal(str(new)).problem.code == "E411"


def test_a_newer_node_behind_an_old_one_is_found(prepared: tuple[Path, Path, PrismaRuntime], tmp_path: Path) -> None:
    path = f"{_fake_node(tmp_path / 'old', 'v18.20.0')}{os.pathsep}{os.environ['PATH']}"
    runtime = _prepare(prepared[0], tmp_path / "engine", environment=_environment(PATH=path))
    assert runtime.node is not None
    assert runtime.node.parent != tmp_path / "old"


def test_a_node_that_is_not_on_the_path(prepared: tuple[Path, Path, PrismaRuntime], tmp_path: Path) -> None:
    real = Path(shutil.which("node") or "").resolve()
    place = tmp_path / "it's a place"
    place.mkdir()
    (place / "node").symlink_to(real)
    npm = Path(shutil.which("npm") or "").resolve()
    bare = _environment(PATH="/usr/bin:/bin" if Path("/usr/bin/env").exists() else "")
    runtime = _prepare(prepared[0], tmp_path / "engine", environment=bare, node=place / "node", npm=npm)
    assert runtime.node == place / "node"
    assert "it'" in runtime.engine.read_text()
    answer = subprocess.run([runtime.engine, "--version"], capture_output=True, text=True, env={}, check=True)
    assert answer.stdout.startswith("query-engine ")


def _native_environments(tmp_path: Path) -> dict[str, Callable[[], dict[str, str]]]:
    def in_the_cache() -> dict[str, str]:
        place = tmp_path / ".cache/prisma-python/binaries/5.4.2/abc/node_modules/prisma"
        place.mkdir(parents=True)
        shutil.copy(_TRUE, place / "query-engine-debian-openssl-3.0.x")
        return {"HOME": str(tmp_path)}

    return {"set": lambda: {"PRISMA_QUERY_ENGINE_BINARY": str(_TRUE)}, "cached": in_the_cache}


@pytest.mark.parametrize("where", ["set", "cached"])
def test_a_native_engine_is_preferred_unless_told_otherwise(
    prepared: tuple[Path, Path, PrismaRuntime], tmp_path: Path, where: str
) -> None:
    python, directory, wasm = prepared
    more = _native_environments(tmp_path)[where]()
    for choice in ("auto", "native", ""):
        environment = _environment(**{**more, "LLM_GATEWAY_PRISMA_ENGINE": choice})
        runtime = _prepare(python, tmp_path / "engine", environment=environment)
        assert runtime.mode == "native"
        assert runtime.environment()["PRISMA_QUERY_ENGINE_BINARY"] == str(runtime.engine)
        assert runtime.engine.read_bytes() == _TRUE.read_bytes()
    assert list((tmp_path / "engine").glob("engine-*")) == []
    assert _prepare(python, directory, environment=_environment(**more)) == wasm


def test_native_without_a_binary_is_refused(prepared: tuple[Path, Path, PrismaRuntime], tmp_path: Path) -> None:
    python, directory, wasm = prepared
    ours = {"PRISMA_QUERY_ENGINE_BINARY": str(wasm.engine), "HOME": str(tmp_path)}
    with pytest.raises(PreconditionError, match="E409"):
        _prepare(python, directory, environment=_environment(**{**ours, "LLM_GATEWAY_PRISMA_ENGINE": "native"}))
    # Our own launcher, inherited from a running gateway, is not a native engine.
    environment = _environment(**{**ours, "LLM_GATEWAY_PRISMA_ENGINE": "auto"})
    assert _prepare(python, directory, environment=environment) == wasm
    with pytest.raises(InputError, match="E408"):
        _prepare(python, directory, environment=_environment(LLM_GATEWAY_PRISMA_ENGINE="other"))


def test_other_preconditions(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="E416"):
        _prepare(tmp_path / "no-python", tmp_path / "engine")
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    with pytest.raises(PreconditionError, match="E415"):
        _prepare(tmp_path / "venv/bin/python", tmp_path / "engine")


def test_unexpected_runtime_files_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "node_modules/@prisma/client/runtime"
    place.mkdir(parents=True)
    (place / "query_engine_bg.postgresql.js").write_text("something else")
    with pytest.raises(GatewayError, match="E414"):
        engine_files.assemble(tmp_path)
