"""What supervisord really starts: reads a spec, loads `.env`, drops root where asked, and becomes the service.

Secrets reach the service through its environment only, never through a command line or supervisord's file. On Linux
the service gets its stop signal when supervisord dies, so nothing survives a killed supervisor.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys

from llm_gateway.specs import read_spec

_PR_SET_PDEATHSIG = 1


def main(spec_file: str) -> None:
    """Become the process that `spec_file` describes (see `specs.Spec`)."""
    spec = read_spec(spec_file)
    argv, environ = spec.argv, dict(os.environ)
    if spec.reads_spec:
        argv = [*argv, "--spec", os.path.abspath(spec_file)]  # noqa: PTH100 - a string for argv
    else:
        environ = spec.variables(environ)
    supervisor = os.getppid()
    if spec.user and os.geteuid() == 0:
        entry = pwd.getpwnam(spec.user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        environ["HOME"] = entry.pw_dir
    if sys.platform == "linux":
        # After setuid, which would clear it; kept over exec.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, getattr(signal, f"SIG{spec.stop_signal}"))
        if os.getppid() != supervisor:
            sys.exit(1)
    os.chdir("/")
    os.execve(argv[0], argv, environ)  # noqa: S606 - becoming the service is the purpose


if __name__ == "__main__":
    main(sys.argv[1])
