"""The gateway's room at a reload: another config, or another environment, for the launcher that runs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from llm_gateway.errors import DeadlineError, GatewayError
from llm_gateway.gateway import failures
from llm_gateway.gateway.control import ask
from llm_gateway.probes import wait
from llm_gateway.services.gateway import launcher
from llm_gateway.services.wiring import write_effective
from llm_gateway.specs import read_spec, write_spec

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from llm_gateway.gateway.messages import Message
    from llm_gateway.paths import Home
    from llm_gateway.probes import Deadline
    from llm_gateway.services.base import Stack

_UNDER_WAY = {"starting", "serving", "closing"}


@dataclass(frozen=True, slots=True)
class Staged:
    """What the new workers are to run with, beside what the present ones run with."""

    config: Path
    spec: Path

    def discard(self) -> None:
        self.spec.unlink(missing_ok=True)
        self.config.unlink(missing_ok=True)


def running(home: Home) -> Message:
    """The launcher's status.

    Raises:
        GatewayError: E507 it does not answer, E513 another reload is under way.
    """
    status = ask(home.socket("launcher.sock"))
    if (status.get("reload") or {}).get("state") in _UNDER_WAY:
        raise failures.not_now()
    return status


def caller_environment(status: Message) -> dict[str, str] | None:
    """The variables of the shell that started the gateway, which a reload keeps; None where nobody may look."""
    with contextlib.suppress(psutil.Error, OSError):
        return psutil.Process(status["pid"]).environ()
    return None


def stage(stack: Stack) -> Staged:
    """Write the effective config and the spec of the new workers; no file of what runs is touched.

    Raises:
        InputError, PreconditionError: the config is unusable, or the home cannot be written.
    """
    first = stack.home.effective_config
    staged = Staged(first.with_stem(f"{first.stem}-{time.time_ns()}"), stack.home.spec("gateway.next"))
    write_effective(stack, staged.config)
    write_spec(staged.spec, launcher(stack, staged.config), env_file=stack.home.env_file)
    return staged


def swap(
    home: Home, staged: Staged, deadline: Deadline, *, fresh: bool, interrupted: threading.Event
) -> dict[str, Any]:
    """Let the launcher bring up new workers, and wait until they have taken over.

    Returns:
        The launcher's account: number, fresh, seconds.

    Raises:
        GatewayError: why the new workers do not run; the present ones go on. E533: the launcher was restarted.
        DeadlineError: E530, it is not over in time, or nobody waits any more.
    """
    control = home.socket("launcher.sock")
    answer = ask(control, do="reload", spec=str(staged.spec), fresh=fresh)
    if "reload" not in answer:
        staged.discard()
        raise _not_reloaded(answer.get("problem") or failures.not_now().problem.as_dict())
    account: dict[str, Any] = {}

    def over() -> str:
        account.clear()
        account.update(ask(control).get("reload") or {"number": 0, "state": "lost"})
        return account["state"] if account["number"] == answer["reload"] and account["state"] in _UNDER_WAY else ""

    if wait(over, deadline, cancelled=interrupted):
        raise DeadlineError(
            "E530",
            "The reload is not over yet; the launcher goes on with it.",
            cause="It was interrupted, the machine is busy, or what the new workers need answers slowly.",
            next="llm-gateway status, llm-gateway logs gateway",
        )
    if account["number"] != answer["reload"]:
        raise GatewayError(
            "E533",
            "The gateway was restarted in the middle of the reload.",
            cause="Its launcher crashed, or another command stopped it.",
            next="llm-gateway status, then llm-gateway reload again",
        )
    if account["state"] == "failed":
        staged.discard()
        raise _not_reloaded(account["problem"])
    return account


def _not_reloaded(problem: dict[str, str]) -> GatewayError:
    return GatewayError(
        problem["code"],
        f"The gateway was not reloaded and runs on as before: {problem['message']}.",
        cause=problem["cause"],
        next=problem["next"],
    )


def forget_old(home: Home, before: Message, staged: Staged) -> None:
    """Remove effective configs that no process reads any more; that of the workers that drain stays until next time."""
    used = {str(staged.config), before["config"], *read_spec(home.spec("gateway")).argv}
    first = home.effective_config
    for path in first.parent.glob(f"{first.stem}*{first.suffix}"):
        if str(path) not in used:
            path.unlink(missing_ok=True)
