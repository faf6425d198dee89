"""The command line of the installer; `scripts/` calls it, people do not.

install --home HOME [--hint TEXT] [-- ARGUMENTS OF START]     preflight, then the gateway's environment
venv DIRECTORY --requirements FILE --home HOME [--hint TEXT]  an environment with this checkout in place
uv [--home HOME]                                              print the path of the locked uv
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Started as a file under `python -I`, which neither reads PYTHONPATH nor adds the current directory.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from llm_gateway.bootstrap import preflight
from llm_gateway.bootstrap.environments import Venv, checkout
from llm_gateway.errors import GatewayError, PreconditionError
from llm_gateway.progress import Progress
from llm_gateway.requirements import requirements


def main(argv: list[str]) -> int:
    """Run one command; errors go to stderr in the shape of the kit, never as a traceback."""
    own, start = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = argparse.ArgumentParser(prog="llm_gateway.bootstrap")
    parser.add_argument("command", choices=("install", "venv", "uv"))
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--hint", default="")
    parser.add_argument("--requirements", default="dev")
    try:
        _run(parser.parse_args(own), start)
    except GatewayError as error:
        problem = error.problem
        _say(f"{problem.code} {problem.message}\n  Cause: {problem.cause}\n  Next:  {problem.next}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("Stopped; the next start goes on from here.")
        return 130
    return 0


def _run(given: argparse.Namespace, start: list[str]) -> None:
    root = Path(__file__).resolve().parents[3]
    home = (given.home or root / ".llm_gateway").absolute()
    if given.command == "install":
        preflight.check(home, start, os.environ)
    else:
        preflight.check_system(preflight.this_machine(home))
    # Only now: on Windows the next import fails.
    from llm_gateway.bootstrap import install  # noqa: PLC0415

    progress, source = Progress(), checkout()
    if given.command == "uv":
        sys.stdout.write(f"{install.ensure_uv(home, progress=progress)}\n")
        return
    if source is None:
        raise PreconditionError(
            "E224",
            "The kit's sources are not here.",
            cause="The script stands in an installed copy whose environment is missing or damaged.",
            next="Clone the repository again and start from there, or rebuild the dev container.",
        )
    if given.command == "venv":
        path = given.directory.absolute()
        lock_file = requirements(given.requirements)
        wanted = Venv(path.name.strip("."), lock_file, kit=source, editable=True, path=path)
    else:
        progress.note(f"Installing into {home} (log: {home}/logs/install.log)")
        wanted = Venv("gateway", kit=source)
    install.ensure_venvs(home, [wanted], progress=progress, hint=given.hint)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
