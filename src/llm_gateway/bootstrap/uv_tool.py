"""Get uv: from PyPI, hash-locked, by whatever pip this machine has."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.bootstrap.failures import failure
from llm_gateway.bootstrap.mirrors import pip_environment
from llm_gateway.bootstrap.reach import refuses_credentials
from llm_gateway.errors import PreconditionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from llm_gateway.bootstrap.runner import Runner

# Distributions that split ensurepip off keep pip's wheel here (Debian: python3-pip-whl, Fedora: python-pip-wheel).
_WHEEL_FOLDERS = (Path("/usr/share/python-wheels"), Path("/usr/share/python3-wheels"))


def base_python() -> Path:
    """The interpreter below any virtual environment."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable)


def find_pip(environ: Mapping[str, str], *, python: Path | None = None) -> list[str]:
    """The command of a pip that works without a virtual environment; empty when there is none.

    In order: the interpreter's own, the wheel that ensurepip or the distribution carries (run from the file,
    nothing is installed), a pip of the person's, a pip on PATH. uv is one wheel for every Python, so a pip of
    another Python will do.
    """
    python = python or base_python()
    for command in _pips(environ, python):
        try:
            answer = subprocess.run(
                [*command, "--version"], env=dict(environ), capture_output=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0:
            return command
    return []


def _pips(environ: Mapping[str, str], python: Path) -> Iterator[list[str]]:
    yield [str(python), "-m", "pip"]
    bundled = importlib.util.find_spec("ensurepip")
    folders = [Path(bundled.origin).parent / "_bundled"] if bundled and bundled.origin else []
    for folder in (*folders, *_WHEEL_FOLDERS):
        for wheel in sorted(folder.glob("pip-*.whl"), reverse=True):
            yield [str(python), f"{wheel}/pip"]
    for name in ("pip3", "pip"):
        found = shutil.which(name, path=environ.get("PATH"))
        if found:
            yield [found]


def install_uv(target: Path, requirements: Path, runner: Runner, environ: Mapping[str, str], *, hint: str = "") -> Path:
    """Fill the directory `target` with uv and return the program.

    Args:
        target: replaced when it exists.
        requirements: the hash-locked file with uv in it.
        runner: runs and logs pip.
        environ: the person's environment.
        hint: the command that brings pip on this distribution, if known.

    Raises:
        PreconditionError: E202, there is neither pip nor uv; or what `failures.failure` tells of pip.
    """
    pip = find_pip(environ)
    if not pip:
        found = shutil.which("uv", path=environ.get("PATH"))
        if found:
            return Path(found)
        raise PreconditionError(
            "E202",
            f"{base_python()} has no pip, and there is no uv.",
            cause="This distribution splits pip off from Python.",
            next=hint or f"Install one of them: {base_python()} -m ensurepip --user",
        )
    shutil.rmtree(target, ignore_errors=True)
    options: list[str | Path] = [
        "--target",
        target,
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--no-compile",
    ]
    outcome = runner.run(
        [*pip, "install", *options, "--requirement", requirements],
        env=pip_environment(environ),
        cwd=target.parent,
    )
    program = target / "bin/uv"
    if not outcome.ok or not os.access(program, os.X_OK):
        # pip says "no matching distribution" for an index that refuses the credentials, too.
        if refuses_credentials(environ):
            outcome = replace(outcome, output=f"HTTP error 401 or 403\n{outcome.output}")
        raise failure("uv", outcome, runner.log)
    return program
