"""reload: another config or `.env` for the gateway that runs, without a failed request."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_gateway import home_files
from llm_gateway.dotenv import Environment
from llm_gateway.engines.supervisor import Supervisor
from llm_gateway.errors import GatewayError, PreconditionError
from llm_gateway.files import write_json
from llm_gateway.model_config import include
from llm_gateway.probes import Deadline
from llm_gateway.results import Result
from llm_gateway.services import gateway, gateway_reload, wiring
from llm_gateway.services.base import Run
from llm_gateway.services.registry import SERVICES
from llm_gateway.verbs.context import (
    changed_choices,
    edited,
    record,
    reopen,
    running_record,
    running_stack,
    service_variables,
)
from llm_gateway.verbs.lint import refuse_mistakes
from llm_gateway.verbs.locking import changing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from llm_gateway.gateway.messages import Message
    from llm_gateway.services.base import Stack
    from llm_gateway.verbs.context import Context

# Choices that the workers alone are made from; every other one needs a restart.
CHANGEABLE = (
    "asIs",
    "workers",
    "preload",
    "logLevel",
    "debug",
    "presidioEntities",
    "presidioScope",
    "presidioOnFailure",
    "cacheScope",
    "semanticCacheModel",
)
_LOOK_EVERY = 0.25  # seconds; polled, because not every file system tells about changes (mounts of containers)


def reload(
    context: Context, *, interrupted: threading.Event | None = None, force: bool = False, fresh: bool = False
) -> Result:
    """Lint the config, then let new workers take over; what runs stays when the new ones do not come up.

    Args:
        context: home and choices; its config may be another one than the gateway was started with.
        interrupted: set by a signal handler; ends the waiting.
        force: go on with a config of which the lint says that it cannot work.
        fresh: import LiteLLM anew, also when neither it nor the environment seems changed.

    Raises:
        GatewayError: why nothing was changed: E531 no gateway runs, E532 a restart is needed, and what lint, the
            plan, the launcher and LiteLLM have to say.
        DeadlineError: E530.
    """
    timeout = context.choices.number("timeout")
    interrupted = interrupted or threading.Event()
    include.read(context.config)
    with changing(context.home, progress=context.progress, timeout=timeout, interrupted=interrupted):
        home_files.adopt_env(context.home)
        context = reopen(context)
        saved = running_record(context.home)
        if not saved or not Supervisor(context.home).alive():
            raise _nothing_runs()
        status = gateway_reload.running(context.home)
        changed = changed_choices(context.choices, saved)
        stack = _wanted(context, status)
        _refuse_more(stack, saved, changed)
        mistakes = refuse_mistakes(stack, progress=context.progress, force=force)
        stack = home_files.write_env(replace(stack, warnings=(*mistakes, *wiring.notes(stack))))
        made = record(stack)  # what an edit from now on is compared with
        new_env = stack.home.env_file in edited(saved)
        with context.progress.step("Gateway") as step:
            run = Run(stack, stack.values, Deadline(timeout), context.progress, step)
            _prepare(run, changed, anew=new_env or fresh)
            account = _swap(run, status, fresh=fresh, interrupted=interrupted)
        write_json(context.home.running_file, made)
        home_files.remember(stack, ("configFile", *CHANGEABLE))
        if new_env and stack.runs("postgres"):
            from llm_gateway.verbs.seed import seed_stack  # noqa: PLC0415 - its HTTP client costs 0.1 s

            seed_stack(stack, context.progress)
    return _result(stack, account)


def _nothing_runs() -> PreconditionError:
    return PreconditionError(
        "E531",
        "No gateway runs in this home.",
        cause="It was not started, or it was stopped.",
        next="llm-gateway start",
    )


def _wanted(context: Context, status: Message) -> Stack:
    """The running stack with the config, the `.env` and the changeable choices as they are now."""
    process = gateway_reload.caller_environment(status)
    if process is not None:
        environment = Environment(process=process, file=context.environment.file)
        context = replace(context, environment=environment)
    stack = running_stack(context, config=context.config, changed=CHANGEABLE)
    if stack is None:
        raise _nothing_runs()
    return stack


def _refuse_more(stack: Stack, saved: Mapping[str, Any], changed: Iterable[str]) -> None:
    """Refuse what is not the gateway's alone, or what its socket was made with."""
    now, began = service_variables(stack), saved.get("services", {})
    more = [id_ for id_ in changed if id_ not in CHANGEABLE]
    more += sorted(name for name in {*now, *began} if now.get(name) != began.get(name))
    if more:
        raise PreconditionError(
            "E532",
            f"A reload cannot take over {', '.join(more)}.",
            cause="The gateway's socket, or services besides the gateway, were started with the old value.",
            next="llm-gateway restart",
        )


def _prepare(run: Run, changed: Iterable[str], *, anew: bool) -> None:
    """What a start would do before the workers, as far as something for it has changed."""
    gateway.refuse_weak_master_key(run.stack)
    if anew:
        gateway.prepare_database_client(run)
        gateway.settle(run)
    running = [service for service in SERVICES if run.stack.runs(service.id)]
    for service in running:
        service.before_reload(run)
        if set(changed) & set(CHANGEABLE):
            service.after_ready(run)  # Presidio must know what it shall look for


def _swap(run: Run, status: Message, *, fresh: bool, interrupted: threading.Event) -> dict[str, Any]:
    staged = gateway_reload.stage(run.stack)
    run.step.detail("waiting until the new workers are ready")
    account = gateway_reload.swap(run.home, staged, run.deadline, fresh=fresh, interrupted=interrupted)
    gateway_reload.forget_old(run.home, status, staged)
    run.step.detail("reloaded")
    return account


def _result(stack: Stack, account: dict[str, object]) -> Result:
    parent = "with a new importing process" if account["fresh"] else "forked from the present one"
    workers = "1 worker" if stack.workers == 1 else f"{stack.workers} workers"
    text = f"Reloaded in {account['seconds']:.2f} s: {workers} {parent}, with {stack.config}."
    data = {
        "config": str(stack.config),
        "workers": stack.workers,
        "seconds": account["seconds"],
        "new_import": account["fresh"],
        "url": stack.public_url,
    }
    return Result("reload", data, text, warnings=stack.warnings)


def watch(
    context: Context, *, stopped: threading.Event, show: Callable[[Result | GatewayError], None], force: bool = False
) -> None:
    """Reload whenever the config, a file that it includes or the `.env` changes, until `stopped` is set.

    Args:
        context: as for `reload`.
        stopped: set by a signal handler.
        show: is given each reload's result, or why the old config stays.
        force: as for `reload`.

    Raises:
        GatewayError: E531, no gateway runs (any more).
    """
    watched = _Watched(context)
    names = ", ".join(map(str, watched.files))
    context.progress.note(f"Watching {names}. Ctrl-C ends the watching; the gateway runs on.")
    due = bool(edited(running_record(context.home)))
    while due or not stopped.wait(_LOOK_EVERY):
        if not running_record(context.home):
            raise _nothing_runs()
        if due or watched.settled_change(stopped):
            due = False
            try:
                show(reload(context, interrupted=stopped, force=force))
            except GatewayError as error:
                show(error)
            except OSError as error:
                context.progress.note(f"! {error}")
        with contextlib.suppress(GatewayError):  # a half-written .env; the next look may be better
            watched.follow(reopen(context))
    context.progress.note("The watching has ended; the gateway runs on.")


class _Watched:
    """The files that a reload depends on, and how they looked when that was last looked at."""

    def __init__(self, context: Context) -> None:
        self._known: dict[Path, object] = {}
        self.follow(context)

    @property
    def files(self) -> list[Path]:
        return list(self._known)

    def follow(self, context: Context) -> None:
        """Another config may have been chosen meanwhile, or include other files; those that stay keep their look."""
        try:
            included = include.files(context.config)
        except GatewayError:  # half written: what it included may come back
            included = [context.config, *self._known]
        files = dict.fromkeys((*included, context.home.env_link))
        self._known = {file: self._known[file] if file in self._known else _look(file) for file in files}

    def settled_change(self, stopped: threading.Event) -> bool:
        """Did one change, and is it written to its end?"""
        present = {file: _look(file) for file in self._known}
        if present == self._known or stopped.wait(_LOOK_EVERY):
            return False
        if {file: _look(file) for file in self._known} != present:
            return False
        self._known = present
        return True


def _look(file: Path) -> object:
    """What tells that a file was written; editors replace files, so the inode counts, too."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
