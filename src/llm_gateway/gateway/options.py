"""What the launcher is told: its command line and what it hands to its workers."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gateway.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Everything a worker needs besides the environment. Holds no secret: it stands in process arguments."""

    config: str
    workers: int
    debug: bool
    detailed_debug: bool
    graceful_timeout: float
    drain_timeout: float
    modules: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_json(self) -> str:
        return json.dumps(self.as_dict())

    @classmethod
    def from_json(cls, text: str) -> WorkerSettings:
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherOptions:
    """The launcher's command line, checked."""

    config: Path
    host: str
    port: int
    workers: int
    control: Path
    log_level: str | None
    debug: bool
    detailed_debug: bool
    preload: bool
    ready_timeout: float
    graceful_timeout: float
    drain_timeout: float
    spec: Path | None
    start_when: Path | None
    modules: Path | None = None

    @property
    def worker_settings(self) -> WorkerSettings:
        return WorkerSettings(
            config=str(self.config),
            workers=self.workers,
            debug=self.debug,
            detailed_debug=self.detailed_debug,
            graceful_timeout=self.graceful_timeout,
            drain_timeout=self.drain_timeout,
            modules=str(self.modules or ""),
        )


def parse(arguments: Sequence[str]) -> LauncherOptions:
    """Read the command line.

    Raises:
        InputError: E501 the config file cannot be read, E502 the number of workers makes no sense.
    """
    given = _parser().parse_args(arguments)
    config = Path(given.config).absolute()
    if not os.access(config, os.R_OK) or not config.is_file():
        raise InputError(
            "E501",
            f"the config file {config} cannot be read",
            cause="it does not exist, is not a file, or its permissions exclude this user",
            next=f"ls -l {config}",
        )
    if given.workers < 1:
        raise InputError(
            "E502",
            f"--workers {given.workers} leaves nobody to answer",
            cause="a gateway needs at least one worker",
            next="start it with --workers 1 or more",
        )
    return LauncherOptions(
        config=config,
        host=given.host,
        port=given.port,
        workers=given.workers,
        control=Path(given.control).absolute(),
        log_level=given.log_level,
        debug=given.debug,
        detailed_debug=given.detailed_debug,
        preload=given.preload,
        ready_timeout=given.ready_timeout,
        graceful_timeout=given.graceful_timeout,
        drain_timeout=given.drain_timeout,
        spec=given.spec,
        start_when=given.start_when,
        modules=given.modules,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llm_gateway.gateway.launcher", description="Runs LiteLLM's proxy.")
    parser.add_argument("--config", required=True, metavar="FILE", help="the effective LiteLLM config")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=4000, help="port to listen on (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (%(default)s)")
    parser.add_argument("--control", required=True, metavar="PATH", help="the control socket to create")
    parser.add_argument("--log-level", type=str.upper, choices=LOG_LEVELS, help="LiteLLM's log level")
    parser.add_argument("--debug", action="store_true", help="LiteLLM's info log and an access log")
    parser.add_argument("--detailed-debug", action="store_true", help="LiteLLM's debug log")
    parser.add_argument("--no-preload", dest="preload", action="store_false", help="each worker imports itself")
    parser.add_argument("--ready-timeout", type=float, default=120.0, metavar="S", help="for one worker (%(default)s)")
    parser.add_argument(
        "--start-when", type=Path, metavar="FILE", help="import at once, but start no worker before this file exists"
    )
    parser.add_argument(
        "--modules", type=Path, metavar="DIR", help="where the config's own Python modules (callbacks, auth) may stand"
    )
    parser.add_argument(
        "--graceful-timeout", type=float, default=4.0, metavar="S", help="for open streams at a stop (%(default)s)"
    )
    parser.add_argument(
        "--drain-timeout", type=float, default=600.0, metavar="S", help="for open streams at a reload (%(default)s)"
    )
    parser.add_argument(
        "--spec", type=Path, metavar="FILE", help="what completes the environment; read again at a reload"
    )
    return parser
