"""exec: a command with this home's environment, for people and scripts that must not source `.env`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from llm_gateway.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_gateway.verbs.context import Context


def become(context: Context, command: Sequence[str]) -> NoReturn:
    """Replace this process by `command`; the venv's programs come first on its PATH.

    Raises:
        InputError: E113, no such program.
    """
    environ = context.environment.merged()
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}"
    program = shutil.which(command[0], path=environ["PATH"])
    if program is None:
        raise InputError(
            "E113",
            f"There is no program {command[0]}.",
            cause=f"It is not on PATH: {environ['PATH']}",
            next="llm-gateway exec -- env",
        )
    os.execve(program, list(command), environ)  # noqa: S606 - that is the verb
