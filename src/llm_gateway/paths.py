"""The home: the one directory in which the kit keeps everything.

Layout (DESIGN section 5): `state/` holds data and the real `.env`, `.env` beside it is a link to it; `configs/` are
installed copies, `logs/` one log per service, `venvs/` the Python environments.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.errors import InputError, PreconditionError

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALLED_HOME = Path("/opt/llm_gateway")
_SOCKET_PATH_LIMIT = 100  # sun_path holds 104 bytes on macOS and 108 on Linux


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home. Creating the object touches nothing."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def env_file(self) -> Path:
        return self.state / ".env"

    @property
    def env_link(self) -> Path:
        return self.root / ".env"

    @property
    def configs(self) -> Path:
        return self.root / "configs"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def venvs(self) -> Path:
        return self.root / "venvs"

    @property
    def backups(self) -> Path:
        return self.state / "backups"

    @property
    def options_file(self) -> Path:
        return self.state / "options.json"

    @property
    def rendered_file(self) -> Path:
        return self.state / "rendered.json"

    @property
    def running_file(self) -> Path:
        return self.state / "running.json"

    @property
    def effective_config(self) -> Path:
        return self.state / "effective-config.yaml"

    @property
    def specs(self) -> Path:
        """One JSON file per native process: what its trampoline executes."""
        return self.state / "processes"

    def spec(self, process: str) -> Path:
        """The spec file of one native process."""
        return self.specs / f"{process}.json"

    @property
    def id(self) -> str:
        """Eight hex digits that tell homes on one machine apart."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    def socket(self, name: str) -> Path:
        """The path of a unix socket; in the temporary directory when the home's path is too long for one."""
        path = self.state / "run" / name
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
            return path
        # Not tempfile.gettempdir(): two commands with different TMPDIR must find the same socket.
        return Path("/tmp") / f"llm-gateway-{os.getuid()}-{self.id}" / name  # noqa: S108 - `create` checks its owner

    def log(self, service: str) -> Path:
        """The log of a service; the gateway's is called as seed 004 calls it."""
        return self.logs / ("llm-gateway.log" if service == "gateway" else f"{service}.log")

    def create(self) -> None:
        """Make the directories; those with data or sockets are closed to other users.

        Raises:
            PreconditionError: E101, the home cannot be written.
        """
        try:
            for directory in (self.root, self.configs, self.logs, self.venvs):
                directory.mkdir(parents=True, exist_ok=True)
            # Root's PostgreSQL runs as another user, who must pass through `state` to its own directory.
            self.state.mkdir(exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            for directory in (self.socket("x").parent, self.specs, self.backups):
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _refuse_foreign(self.socket("x").parent)
            with tempfile.TemporaryFile(dir=self.state):
                pass
        except OSError as error:
            raise PreconditionError(
                "E101",
                f"The home {self.root} cannot be written: {error.strerror}.",
                cause="It belongs to another user, is read-only, or the disk is full.",
                next="Choose another one: LLM_GATEWAY_HOME=~/llm-gateway-home, or mend its owner and free space.",
            ) from None


def _refuse_foreign(directory: Path) -> None:
    """Anybody can make a directory in /tmp; whoever owns it would hold the sockets that control the services."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PreconditionError(
            "E116",
            f"{directory} is not private to you.",
            cause="The control sockets stand there; somebody else made the directory, or opened it.",
            next=f"ls -ld {directory}; rm -r {directory}",
        )


def find_home(environ: Mapping[str, str]) -> Home:
    """The home of this process: `LLM_GATEWAY_HOME`, else the home that holds the running venv, else the checkout's.

    Raises:
        InputError: E102, nothing says where the home is.
    """
    named = environ.get("LLM_GATEWAY_HOME", "")
    if named:
        return Home(Path(named).expanduser().absolute())
    import sys  # noqa: PLC0415 - only this branch looks at the interpreter

    prefix = Path(sys.prefix)
    if prefix.parent.name == "venvs":  # <home>/venvs/gateway
        return Home(prefix.parent.parent)
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return Home(checkout / ".llm_gateway")
    if INSTALLED_HOME.is_dir():
        return Home(INSTALLED_HOME)
    raise InputError(
        "E102",
        "No home was found.",
        cause="llm-gateway was installed by hand, outside a home.",
        next="Name one: LLM_GATEWAY_HOME=~/llm-gateway-home llm-gateway init",
    )
