"""Running a program to its end: bounded, quiet, and killed with its children when the start is called off."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from typing import TYPE_CHECKING

from llm_gateway.errors import DeadlineError, GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TAIL = 8  # lines of output that an error shows


def identity(user: str) -> dict[str, object]:
    """Arguments for `subprocess` that run a program as `user`; none for ""."""
    if not user:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    code: str,
    what: str,
    timeout: float,
    env: Mapping[str, str] | None = None,
    user: str = "",
    cwd: str = "/",
) -> str:
    """Run a program and give its output.

    Args:
        argv: program and arguments; never a secret.
        code: error code when it fails.
        what: what it does, for the error: "creating the PostgreSQL data directory".
        timeout: seconds.
        env: its environment; the process's own when None.
        user: run as this user; "" = unchanged.
        cwd: working directory; `/`, because other users may not enter the person's.

    Raises:
        GatewayError: `code`, it could not be started or ended with an error; shows its last lines.
        DeadlineError: `code`, it did not end in time.
    """
    command = f"{argv[0]}"
    try:
        process = subprocess.Popen(
            [os.fspath(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
            text=True,
            errors="replace",
            **identity(user),  # type: ignore[call-overload]
        )
    except (OSError, KeyError) as error:
        raise GatewayError(
            code, f"{what} failed: {error}.", cause=f"{command} cannot be run.", next=f"ls -l {command}"
        ) from None
    try:
        output, _ = process.communicate(timeout=timeout)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise DeadlineError(
                code,
                f"{what} did not end within {timeout:.0f} s.",
                cause="The machine is overloaded, or a network answers nothing.",
                next="llm-gateway doctor",
            ) from None
        raise
    if process.returncode != 0:
        tail = "\n".join(str(output).strip().splitlines()[-_TAIL:])
        raise GatewayError(
            code,
            f"{what} failed (exit code {process.returncode}).",
            cause=f"{command} said:\n{tail}",
            next="llm-gateway doctor",
        )
    return str(output)
