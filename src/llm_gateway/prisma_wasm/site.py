"""The installation of another (or this) Python: where its packages are, and which ones."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from llm_gateway.errors import PreconditionError

_ASK = """
import json, sysconfig
print(json.dumps(sysconfig.get_path("purelib")))
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where `python` keeps its packages."""

    python: Path
    packages: Path

    @property
    def prisma(self) -> Path:
        return self.packages / "prisma"

    @property
    def schema(self) -> Path:
        return self.packages / "litellm_proxy_extras" / "schema.prisma"

    def version(self, distribution: str) -> str:
        """The installed version, "" when it is not installed."""
        return self._info(distribution).removesuffix(".dist-info").partition("-")[2]

    def shipped_files(self, distribution: str) -> frozenset[str]:
        """The files of the distribution's wheel, relative to `packages`."""
        record = (self.packages / self._info(distribution) / "RECORD").read_text(encoding="utf-8")
        return frozenset(line.rsplit(",", 2)[0] for line in record.splitlines())

    def _info(self, distribution: str) -> str:
        return next((path.name for path in self.packages.glob(f"{distribution}-*.dist-info")), "")


def locate(python: Path, *, remembered: Path) -> Site:
    """Find where `python` keeps its packages.

    Args:
        python: an interpreter; its path is not resolved, because a virtual environment's is a link.
        remembered: a file that saves asking a Python again (starting one takes a while).

    Raises:
        PreconditionError: E416 `python` does not run.
    """
    if python == Path(sys.executable):
        return Site(python, Path(sysconfig.get_path("purelib")))
    try:
        known = json.loads(remembered.read_text(encoding="utf-8"))
        site = Site(python, Path(known["packages"]))
        if known["python"] == str(python) and python.exists() and site.prisma.is_dir():
            return site
    except (OSError, ValueError, KeyError):
        pass
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise PreconditionError("E416", f"{python} does not run", cause=str(error), next="llm-gateway init") from error
    packages = json.loads(answer)
    remembered.write_text(json.dumps({"python": str(python), "packages": packages}))
    return Site(python, Path(packages))
