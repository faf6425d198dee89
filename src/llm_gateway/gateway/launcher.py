"""Runs LiteLLM's proxy: owns the listening socket, forks the workers, replaces those that die.

    python -m llm_gateway.gateway.launcher --config FILE --control PATH [--host H] [--port P] [--workers N] …

Runs in the foreground. The environment (`DATABASE_URL`, `LITELLM_MASTER_KEY`, provider keys, …) is the
caller's, completed by what `--spec` names; the database is migrated already. Logs go to stderr. Exit codes: 0
stopped by a signal, 1 the gateway does not start, 2 bad input, 3 the port or the control socket is taken, 4 it was
not ready in time.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from llm_gateway.errors import GatewayError
from llm_gateway.gateway import control, options, sockets
from llm_gateway.gateway.environment import launch_environment
from llm_gateway.gateway.messages import say
from llm_gateway.gateway.supervisor import Supervisor
from llm_gateway.specs import read_spec

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run until a signal. Every error a person can meet is one line on stderr and an exit code."""
    try:
        given = options.parse(arguments)
        listener = sockets.bind_listener(given.host, given.port)
        control_socket = control.listen(given.control)
        caller = dict(os.environ)
        environment = launch_environment(read_spec(given.spec).variables(caller) if given.spec else caller, given)
        with listener, control_socket:
            return Supervisor(given, listener, control_socket, caller=caller, environment=environment).run()
    except GatewayError as error:
        problem = error.problem
        say(f"{problem.code} {problem.message}; cause: {problem.cause}; next: {problem.next}")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
