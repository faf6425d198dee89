"""The kit's virtual environments: made once, repaired when interrupted, left alone when nothing changed.

<home>/venvs/uv            the installer, hash-locked
<home>/venvs/<name>        one environment per locked requirements file
<home>/venvs/.<name>.lock  held by the one process that changes it
<home>/logs/install.log    what the installers said, without credentials
"""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.bootstrap.environments import STAMP, Stamp, Venv, digest, kit_digest
from llm_gateway.bootstrap.failures import explain, failure
from llm_gateway.bootstrap.locks import exclusive
from llm_gateway.bootstrap.mirrors import known_secrets, uv_environment
from llm_gateway.bootstrap.pip_config import read_pip_config
from llm_gateway.bootstrap.reach import check_index
from llm_gateway.bootstrap.runner import Outcome, Runner
from llm_gateway.bootstrap.uv_tool import base_python, install_uv
from llm_gateway.errors import PreconditionError
from llm_gateway.progress import Progress
from llm_gateway.requirements import requirements as locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from llm_gateway.bootstrap.mirrors import Indexes

KIT = "llm-gateway-kit"
_LIMIT_VARIABLE, _LIMIT = "LLM_GATEWAY_INSTALL_TIMEOUT", 900.0
# What an extra index may mend: the main one does not have a package, or does not let us in.
_PERHAPS_ELSEWHERE = {"E210", "E211", "E212", "E213", "E215", "E217"}


def ensure_venv(
    home: Path,
    name: str,
    requirements: Path | None = None,
    *,
    python: Path | None = None,
    progress: Progress | None = None,
    kit: Path | None = None,
    editable: bool = False,
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    hint: str = "",
) -> Path:
    """Make sure that one environment is complete; see `Venv` and `ensure_venvs` for the arguments and errors."""
    wanted = Venv(name, requirements, kit=kit, editable=editable, path=path)
    return ensure_venvs(home, [wanted], python=python, progress=progress, environ=environ, hint=hint)[0]


def ensure_venvs(
    home: Path,
    venvs: Sequence[Venv],
    *,
    python: Path | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
    hint: str = "",
) -> list[Path]:
    """Make sure that environments are complete; several are installed at the same time.

    Args:
        home: where `venvs` and `logs` stand; made when missing.
        venvs: what is wanted.
        python: the interpreter to build on; by default the one below this process.
        progress: told of each step.
        environ: the person's environment, os.environ by default.
        hint: the command that brings pip on this distribution.

    Returns:
        The directories, in the order of `venvs`.

    Raises:
        PreconditionError: E202 (no pip), E210 to E219 (network, index, disk, permission).
        DeadlineError: E220 or E222, a limit passed.
        GatewayError: E221, the installer failed for a reason not known here.
    """
    environ = os.environ if environ is None else environ
    job = _Job(
        home=home.absolute(),
        python=(python or base_python()).absolute(),
        progress=progress or Progress(),
        environ=environ,
        hint=hint,
        deadline=time.monotonic() + _limit(environ),
    )
    missing = [venv for venv in venvs if not job.is_complete(venv)]
    if missing:
        try:
            job = replace(job, indexes=_choose_indexes(environ))
            job.prepare()
            with ThreadPoolExecutor(max_workers=len(missing)) as pool:
                list(pool.map(job.install, missing))
        except OSError as error:
            raise failure("the kit", Outcome(1, str(error)), job.log) from None
    return [job.directory(venv) for venv in venvs]


def ensure_uv(home: Path, *, environ: Mapping[str, str] | None = None, progress: Progress | None = None) -> Path:
    """The locked uv of a home, installed when it is missing. Errors as `ensure_venvs`."""
    environ = os.environ if environ is None else environ
    deadline = time.monotonic() + _limit(environ)
    job = _Job(home.absolute(), base_python(), progress or Progress(), environ, "", deadline)
    return job.prepare()


@dataclass(frozen=True, slots=True)
class _Job:
    home: Path
    python: Path
    progress: Progress
    environ: Mapping[str, str]
    hint: str
    deadline: float
    indexes: tuple[Indexes, ...] = ("main",)

    @property
    def log(self) -> Path:
        return self.home / "logs/install.log"

    @property
    def uv(self) -> Path:
        return self.home / "venvs/uv/bin/uv"

    def directory(self, venv: Venv) -> Path:
        return venv.path or self.home / "venvs" / venv.name

    def wanted(self, venv: Venv) -> Stamp:
        return Stamp(
            python=str(self.python.resolve()),
            requirements=digest([venv.lock_file]),
            kit=kit_digest(venv.kit, editable=venv.editable) if venv.kit else "",
        )

    def is_complete(self, venv: Venv) -> bool:
        directory = self.directory(venv)
        programs = ["python", *(["llm-gateway"] if venv.kit else [])]
        there = all(os.access(directory / "bin" / name, os.X_OK) for name in programs)
        return there and Stamp.read(directory) == self.wanted(venv)

    def runner(self, *locks: int) -> Runner:
        return Runner(self.log, self.deadline, known_secrets(self.environ), locks)

    def prepare(self) -> Path:
        """uv: the locked one of this home, or the one on PATH where there is no pip to fetch it."""
        folder, lock_file = self.uv.parent.parent, locked("uv")
        wanted = Stamp(python="", requirements=digest([lock_file]), kit="")
        if Stamp.read(folder) == wanted and os.access(self.uv, os.X_OK):
            return self.uv
        with exclusive(self._lock("uv"), self.deadline, waiting=self._say_waiting) as lock:
            if Stamp.read(folder) == wanted and os.access(self.uv, os.X_OK):
                return self.uv
            with self.progress.step("installer (uv)"):
                program = install_uv(folder, lock_file, self.runner(lock), self.environ, hint=self.hint)
            if program != self.uv:
                self.progress.note(f"  Using {program}: there is no pip to install the tested version.")
                self.uv.parent.mkdir(parents=True, exist_ok=True)
                self.uv.unlink(missing_ok=True)
                self.uv.symlink_to(program)
            wanted.write(folder)
        return self.uv

    def install(self, venv: Venv) -> None:
        with exclusive(self._lock(venv.name), self.deadline, waiting=self._say_waiting) as lock:
            if self.is_complete(venv):
                return
            directory, wanted = self.directory(venv), self.wanted(venv)
            before = Stamp.read(directory)
            (directory / STAMP).unlink(missing_ok=True)
            runner = self.runner(lock)
            # A stamp that fits an environment that is not complete: somebody damaged it.
            if before is None or before.python != wanted.python or before == wanted:
                shutil.rmtree(directory, ignore_errors=True)
                before = Stamp(wanted.python, "", "")
                self._uv(runner, venv, ["venv", "--no-project", "--python", self.python, directory])
            if before.requirements != wanted.requirements:
                self._packages(runner, venv)
            if venv.kit:
                self._kit(runner, venv, venv.kit)
            wanted.write(directory)

    def _packages(self, runner: Runner, venv: Venv) -> None:
        with self.progress.step(f"packages ({venv.name})") as step:
            command = [
                "pip",
                "sync",
                "--python",
                str(self.directory(venv)),
                "--require-hashes",
                "--only-binary",
                ":all:",
            ]
            self._uv(runner, venv, [*command, "--compile-bytecode", venv.lock_file], tell=_counter(step.detail))

    def _kit(self, runner: Runner, venv: Venv, kit: Path) -> None:
        with self.progress.step("llm-gateway"):
            command = ["pip", "install", "--python", str(self.directory(venv)), "--no-deps", "--no-index"]
            # The build needs nothing beyond the locked environment. uv takes a directory for unchanged as long as
            # its pyproject.toml is.
            options = ["--no-build-isolation", "--compile-bytecode", "--reinstall-package", KIT]
            where = ["--editable", str(kit)] if venv.editable else [str(kit)]
            self._uv(runner, venv, [*command, *options, *where])

    def _uv(
        self,
        runner: Runner,
        venv: Venv,
        arguments: Iterable[str | Path],
        *,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        first: Outcome | None = None
        for indexes in self.indexes:
            env = {**uv_environment(self.environ, indexes=indexes), **_cache(self.environ, self.home)}
            outcome = runner.run([self.uv, *arguments], env=env, cwd=self.home, tell=tell)
            if outcome.ok:
                return
            first = first or outcome
            known = explain(outcome.output)
            if outcome.timed_out or known is None or known.code not in _PERHAPS_ELSEWHERE:
                break
        assert first is not None  # noqa: S101 - there is always an index to ask
        raise failure(f"the environment '{venv.name}'", first, self.log)

    def _lock(self, name: str) -> Path:
        return self.home / "venvs" / f".{name}.lock"

    def _say_waiting(self) -> None:
        self.progress.note("  Another installation into this home is running; waiting for it.")


def _choose_indexes(environ: Mapping[str, str]) -> tuple[Indexes, ...]:
    """The main index alone, and with the extra ones where that fails; without the main one when it is blocked."""
    blocked = check_index(environ)
    extra = bool(read_pip_config(environ).extra_index_urls)
    if blocked and not extra:
        raise blocked
    return ("extra",) if blocked else ("main", "all") if extra else ("main",)


def _limit(environ: Mapping[str, str]) -> float:
    text = environ.get(_LIMIT_VARIABLE, "")
    try:
        return float(text) if text else _LIMIT
    except ValueError:
        raise PreconditionError(
            "E223",
            f"{_LIMIT_VARIABLE}={text} is not a number.",
            cause="It takes seconds.",
            next=f"{_LIMIT_VARIABLE}=1800",
        ) from None


def _cache(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Keep uv's cache in the home when the person's cannot be written, and copy where hard links are impossible."""
    named = environ.get("UV_CACHE_DIR", "")
    user = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/nonexistent") / ".cache") / "uv"
    cache = Path(named) if named else user
    nearest = next((folder for folder in (cache, *cache.parents) if folder.exists()), Path("/"))
    chosen = {}
    if not named and not os.access(nearest, os.W_OK):
        cache = nearest = home
        chosen["UV_CACHE_DIR"] = str(home / "cache/uv")
    if nearest.stat().st_dev != home.stat().st_dev and not environ.get("UV_LINK_MODE"):
        chosen["UV_LINK_MODE"] = "copy"
    return chosen


def _counter(detail: Callable[[str], None]) -> Callable[[str], None]:
    """Turns uv's lines into what a person wants to see while waiting."""

    def tell(line: str) -> None:
        if line.startswith(("Resolved", "Prepared", "Installed", "Bytecode compiled")):
            detail(line.split(" in ", maxsplit=1)[0].lower())

    return tell
