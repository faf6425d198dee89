"""reload: another config or `.env` for the gateway that runs, without a failed request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

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
from llm_gateway.verbs.context import (
    digest,
    record,
    reopen,
    running_record,
    running_stack,
    service_variables,
)
from llm_gateway.verbs.lint import refuse_mistakes
from llm_gateway.verbs.locking import changing
from llm_gateway.verbs.seed import seed_stack

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from llm_gateway.gateway.messages import Message
    from llm_gateway.services.base import Stack
    from llm_gateway.verbs.context import Context

# Choices that the workers alone are made from; every other one needs a restart.
CHANGEABLE = ("asIs", "workers", "preload", "logLevel", "debug", "presidioEntities", "presidioScope")
_LOOK_EVERY = 0.25  # seconds; polled, because not every file system tells about changes (mounts of containers)


def reload(context: Context, *, force: bool = False, fresh: bool = False) -> Result:
    """Lint the config, then let new workers take over; what runs stays when the new ones do not come up.

    Args:
        context: home and choices; its config may be another one than the gateway was started with.
        force: go on with a config of which the lint says that it cannot work.
        fresh: import LiteLLM anew, also when neither it nor the environment seems changed.

    Raises:
        GatewayError: why nothing was changed: E531 no gateway runs, E532 a restart is needed, and what lint, the
            plan, the launcher and LiteLLM have to say.
        DeadlineError: E530.
    """
    timeout = context.choices.number("timeout")
    include.read(context.config)
    with changing(context.home, progress=context.progress, timeout=timeout):
        home_files.adopt_env(context.home)
        context = reopen(context)
        saved = running_record(context.home)
        if not saved or not Supervisor(context.home).alive():
            raise _nothing_runs()
        status = gateway_reload.running(context.home)
        stack = _wanted(context, status)
        _refuse_other_services(stack, saved["services"])
        mistakes = refuse_mistakes(stack, progress=context.progress, force=force)
        stack = home_files.write_home(replace(stack, warnings=(*mistakes, *wiring.notes(stack))))
        new_env = digest(context.home.env_file) != saved["env_sha256"]
        with context.progress.step("Gateway") as step:
            run = Run(stack, stack.values, Deadline(timeout), context.progress, step)
            account = _swap(run, status, new_env=new_env, fresh=fresh)
        write_json(context.home.running_file, record(stack))
        if new_env and stack.runs("postgres"):
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


def _refuse_other_services(stack: Stack, started_with: dict[str, str]) -> None:
    now = service_variables(stack)
    changed = sorted(name for name in {*now, *started_with} if now.get(name) != started_with.get(name))
    if changed:
        raise PreconditionError(
            "E532",
            f"A reload cannot take over {', '.join(changed)}.",
            cause="Services besides the gateway were started with the old value.",
            next="llm-gateway restart",
        )


def _swap(run: Run, status: Message, *, new_env: bool, fresh: bool) -> dict[str, object]:
    gateway.refuse_weak_master_key(run.stack)
    if new_env or fresh:
        gateway.prepare_database_client(run)
        gateway.settle(run)
    staged = gateway_reload.stage(run.stack, status)
    run.step.detail("waiting until the new workers are ready")
    account = gateway_reload.swap(run.home, staged, run.deadline, fresh=fresh)
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
    files = _files(context)
    saved = running_record(context.home)
    taken = _state(files)
    if saved and (digest(context.config), digest(context.home.env_file)) != (
        saved["config_sha256"],
        saved["env_sha256"],
    ):
        taken = ()  # edited before the watching began
    context.progress.note(f"Watching {', '.join(map(str, files))}. Ctrl-C ends the watching; the gateway runs on.")
    while not stopped.wait(_LOOK_EVERY):
        if not running_record(context.home):
            raise _nothing_runs()
        present = _state(files)
        if present == taken or stopped.wait(_LOOK_EVERY) or _state(files) != present:
            continue  # nothing new, or still being written
        taken = present
        try:
            show(reload(context, force=force))
        except GatewayError as error:
            show(error)
        included = _files(context)
        if included != files:
            files, taken = included, _state(included)
    context.progress.note("The watching has ended; the gateway runs on.")


def _files(context: Context) -> list[Path]:
    try:
        included = include.files(context.config)
    except GatewayError:
        included = [context.config]
    return [*included, context.home.env_link]


def _state(files: list[Path]) -> tuple[object, ...]:
    """What tells that a file was written; editors replace files, so the inode counts, too."""
    found: list[object] = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)
