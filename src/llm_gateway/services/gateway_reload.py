"""The gateway's room at a reload: another config, or another environment, for the launcher that runs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from llm_gateway.engines.specs import write_spec
from llm_gateway.errors import DeadlineError, GatewayError
from llm_gateway.gateway.control import ask
from llm_gateway.probes import wait
from llm_gateway.services.gateway import launcher
from llm_gateway.services.wiring import write_effective

if TYPE_CHECKING:
    from llm_gateway.gateway.messages import Message
    from llm_gateway.paths import Home
    from llm_gateway.probes import Deadline
    from llm_gateway.services.base import Stack


@dataclass(frozen=True, slots=True)
class Staged:
    """What the new workers are to run with, beside what the present ones run with."""

    config: Path
    spec: Path


def running(home: Home) -> Message:
    """The launcher's status. Raises GatewayError E507 when it does not answer."""
    return ask(home.socket("launcher.sock"))


def caller_environment(status: Message) -> dict[str, str] | None:
    """The variables of the shell that started the gateway, which a reload keeps; None where nobody may look."""
    with contextlib.suppress(psutil.Error, OSError):
        return psutil.Process(status["pid"]).environ()
    return None


def stage(stack: Stack, status: Message) -> Staged:
    """Write the effective config and the spec of the new workers; what runs is not touched.

    Raises:
        InputError, PreconditionError: the config is unusable, or the home cannot be written.
    """
    first = stack.home.effective_config
    second = first.with_stem(f"{first.stem}-2")
    config = second if Path(status["config"]) == first else first
    write_effective(stack, config)
    spec = stack.home.spec("gateway.next")
    write_spec(spec, launcher(stack, config), env_file=stack.home.env_file)
    return Staged(config, spec)


def swap(home: Home, staged: Staged, deadline: Deadline, *, fresh: bool) -> dict[str, Any]:
    """Let the launcher bring up new workers, and wait until they have taken over.

    Returns:
        The launcher's account: number, fresh, seconds.

    Raises:
        GatewayError: why the new workers do not run; the present ones go on.
        DeadlineError: E530, it is not over in time.
    """
    control = home.socket("launcher.sock")
    answer = ask(control, do="reload", spec=str(staged.spec), fresh=fresh)
    if "problem" in answer:
        _raise(answer["problem"], staged)
    account: dict[str, Any] = {}

    def over() -> str:
        account.update(ask(control)["reload"])
        return "" if account["state"] in {"done", "failed"} else account["state"]

    if wait(over, deadline):
        raise DeadlineError(
            "E530",
            "The reload is not over yet; the launcher goes on with it.",
            cause="The machine is busy, or a service that the new workers need answers slowly.",
            next="llm-gateway status, llm-gateway logs gateway",
        )
    if account["state"] == "failed":
        _raise(account["problem"], staged)
    # From now on this is what a crashed launcher starts again with.
    staged.spec.replace(home.spec("gateway"))
    return account


def _raise(problem: dict[str, str], staged: Staged) -> None:
    staged.spec.unlink(missing_ok=True)
    staged.config.unlink(missing_ok=True)
    raise GatewayError(
        problem["code"],
        f"The gateway was not reloaded and runs on as before: {problem['message']}.",
        cause=problem["cause"],
        next=problem["next"],
    )
