"""Spec files: what a native process is, written by the engine, read by the trampoline and by the gateway's launcher.

Secrets reach a process through its environment only: a spec names the `.env`, it holds none of its values.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gateway.files import write_json

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from llm_gateway.services.base import Process

_BARE = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One native process.

    Attributes:
        argv: program and arguments.
        user: whom root becomes, "" nobody else.
        reads_spec: the process gets the caller's environment and this file's path, and completes the former by
            itself, at its start and again later; others get a bare environment.
        stop_signal: signal name without SIG.
        env_file: the `.env` to read.
        extra: variables on top.
        unset: variables that it must not have.
    """

    argv: list[str]
    user: str
    reads_spec: bool
    stop_signal: str
    env_file: str
    extra: dict[str, str]
    unset: list[str]

    def variables(self, caller: Mapping[str, str]) -> dict[str, str]:
        """The process's environment, given its caller's. Reads `.env`.

        Raises:
            InputError: E111, E112 the `.env` cannot be read.
        """
        if self.reads_spec:
            from llm_gateway.dotenv import Environment, read  # noqa: PLC0415 - only for those that get it

            base = Environment(process=caller, file=read(Path(self.env_file))).merged()
        else:
            base = {name: caller[name] for name in _BARE if name in caller}
        for name in ("PYTHONDONTWRITEBYTECODE", *self.unset):
            base.pop(name, None)
        return {**base, **self.extra}


def write_spec(path: Path, process: Process, *, env_file: Path) -> None:
    """Write what `path`'s reader executes for `process`."""
    spec = Spec(
        argv=list(process.argv),
        user=process.user,
        reads_spec=process.reads_spec,
        stop_signal=process.stop_signal,
        env_file=str(env_file),
        extra=dict(process.extra),
        unset=list(process.unset),
    )
    write_json(path, asdict(spec))


def read_spec(path: str | os.PathLike[str]) -> Spec:
    """Read a spec file. Raises OSError or ValueError when there is none: only the kit writes them."""
    fields: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return Spec(**fields)
