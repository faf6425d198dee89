"""What supervisord really starts: reads a spec, loads `.env`, drops root where asked, and becomes the service.

Secrets reach the service through its environment only, never through a command line or supervisord's file. On Linux
the service gets its stop signal when supervisord dies, so nothing survives a killed supervisor.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_BARE = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def main(spec_file: str) -> None:
    """Become the process that `spec_file` describes (see `native.write_spec`)."""
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    environ = _environment(spec)
    supervisor = os.getppid()
    if spec["user"] and os.geteuid() == 0:
        entry = pwd.getpwnam(spec["user"])
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        environ["HOME"] = entry.pw_dir
    if sys.platform == "linux":
        # After setuid, which would clear it; kept over exec.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, getattr(signal, f"SIG{spec['stop_signal']}"))
        if os.getppid() != supervisor:
            sys.exit(1)
    os.chdir("/")
    os.execve(spec["argv"][0], spec["argv"], environ)  # noqa: S606 - becoming the service is the purpose


def _environment(spec: dict[str, object]) -> dict[str, str]:
    if not spec["full_environment"]:
        base = {name: os.environ[name] for name in _BARE if name in os.environ}
    else:
        from llm_gateway.dotenv import Environment, read  # noqa: PLC0415 - only for services that get it

        base = Environment(process=os.environ, file=read(Path(str(spec["env_file"])))).merged()
    for name in ("PYTHONDONTWRITEBYTECODE", *spec["unset"]):  # type: ignore[misc]
        base.pop(name, None)
    return {**base, **spec["extra"]}  # type: ignore[dict-item]


if __name__ == "__main__":
    main(sys.argv[1])
