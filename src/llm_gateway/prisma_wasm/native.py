"""Find Prisma's own query engine binary, where one was installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The version that prisma-client-py 0.11.0 expects; its cache directory carries this name.
_ENGINE_OF = "5.4.2"
_MAGIC = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_PLACES = ("", "node_modules/prisma", "node_modules/@prisma/engines")


def find_native_engine(environment: Mapping[str, str]) -> Path | None:
    """The binary that PRISMA_QUERY_ENGINE_BINARY names, else one in prisma's cache, else None.

    A script is not a native engine: the gateway's own processes see their launcher's path in this variable.
    """
    named = environment.get("PRISMA_QUERY_ENGINE_BINARY")
    if named and _is_binary(Path(named)):
        return Path(named)
    return next((path for path in _cached(environment) if _is_binary(path) and _runs(path)), None)


def _cached(environment: Mapping[str, str]) -> Iterator[Path]:
    if override := environment.get("PRISMA_BINARY_CACHE_DIR"):
        versions = [Path(override)]
    else:
        home = environment.get("PRISMA_HOME_DIR") or environment.get("HOME") or str(Path.home())
        versions = sorted((Path(home) / ".cache" / "prisma-python" / "binaries" / _ENGINE_OF).glob("*"))
    for version in versions:
        for place in _PLACES:
            yield from sorted((version / place).glob("*query-engine*"))


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in _MAGIC and os.access(path, os.X_OK)
    except OSError:
        return False


def _runs(path: Path) -> bool:
    """The cache may hold engines for other systems and OpenSSL versions."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
