"""verify: real calls through the running gateway, and what came of them, for every enabled capability."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from llm_gateway.errors import InputError, PreconditionError, Problem
from llm_gateway.gateway.control import ask
from llm_gateway.model_config.load import load
from llm_gateway.probes import Deadline, wait
from llm_gateway.proofs import models, runner, semantic_cache
from llm_gateway.proofs.bench import opened
from llm_gateway.proofs.capture import capturing
from llm_gateway.results import Result
from llm_gateway.services.probe_model import PORT
from llm_gateway.services.registry import BY_ID
from llm_gateway.verbs.context import running_stack

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from llm_gateway.proofs.bench import Bench
    from llm_gateway.proofs.runner import Outcome
    from llm_gateway.services.base import Proof, Stack
    from llm_gateway.verbs.context import Context

_PATIENCE = 5.0  # seconds for a service to answer before anything begins
_STATES = ("proven", "not proven", "unavailable", "off")


def capabilities() -> tuple[str, ...]:
    """What can be asked for by name."""
    return tuple(proof.capability for proof in runner.all_proofs())


def verify(
    context: Context, names: Sequence[str] = (), *, deep: bool = False, only_models: Sequence[str] = ()
) -> Result:
    """The verb. Exit code 0 only when everything that is enabled and available is proven.

    Args:
        context: the person's situation.
        names: capabilities; empty: all.
        deep: also those that take minutes or disturb the gateway.
        only_models: models of the config to ask; empty: the first of each mode.

    Raises:
        InputError: E701 no such capability or model.
        PreconditionError: E700 nothing runs here, E702 the probe's port is taken, E704 another verify runs, E706
            the gateway or its database is away.
        GatewayError: E601, E602 the gateway cannot be used at all.
    """
    with _ready(context, names, deep=deep, only_models=only_models) as (bench, proofs):
        began = time.monotonic()
        calls = _announce(context, bench, proofs)
        outcomes = runner.run(bench, proofs, context.progress)
        return _result(outcomes, seconds=time.monotonic() - began, paid=calls, url=bench.stack.public_url)


def watch(
    context: Context,
    names: Sequence[str],
    *,
    deep: bool = False,
    only_models: Sequence[str],
    every: float,
    stopped: threading.Event,
    show: Callable[[Result], None],
) -> None:
    """Verify again and again until `stopped` is set: the first time all is shown, then what changed.

    Raises:
        InputError: E707, one of them disturbs the gateway; else as `verify`.
    """
    if deep or any(proof.deep for proof in _chosen(names, deep=False)):
        raise InputError(
            "E707",
            "--watch does not go with --deep, nor with restart.",
            cause="Each round would restart the gateway.",
            next="llm-gateway verify --watch, or once: llm-gateway verify --deep",
        )
    with _ready(context, names, deep=False, only_models=only_models) as (bench, proofs):
        calls = _announce(context, bench, proofs)
        quiet = type(context.progress)(quiet=True)
        before: dict[str, str] = {}
        while True:
            began = time.monotonic()
            outcomes = runner.run(bench, proofs, quiet)
            now: dict[str, str] = {outcome.capability: outcome.state for outcome in outcomes}
            changed = [outcome for outcome in outcomes if before.get(outcome.capability) != outcome.state]
            if changed:
                show(_result(changed, seconds=time.monotonic() - began, paid=calls, url=bench.stack.public_url))
            before = now
            bench.clear()  # keys end after two hours, and a watch runs for days
            if stopped.wait(every):
                return


@contextmanager
def _ready(
    context: Context, names: Sequence[str], *, deep: bool, only_models: Sequence[str]
) -> Iterator[tuple[Bench, list[Proof]]]:
    """A bench at the running gateway, and the proofs that were asked for."""
    proofs = _chosen(names, deep=deep)
    stack = running_stack(context)
    if stack is None:
        raise PreconditionError(
            "E700",
            "There is nothing to verify.",
            cause="No gateway runs in this home.",
            next="llm-gateway start",
        )
    _refuse_dead(stack)
    served = ask(stack.home.socket("launcher.sock"))["config"]
    config = load(Path(served))
    with (
        _alone(stack.home.state / "verify.lock"),
        capturing(stack.ports[PORT]) as capture,
        opened(stack, config, capture, deep=deep, models=tuple(only_models)) as bench,
    ):
        _refuse_unknown(bench, only_models)
        yield bench, proofs


def _refuse_dead(stack: Stack) -> None:
    """Nothing can be shown without the gateway and its database; what else is dead, the proofs say.

    Raises:
        PreconditionError: E706.
    """
    for id_ in ("postgres", "gateway"):  # without its database the gateway is not ready either
        probe = BY_ID[id_].probe
        # More than one look: a busy machine may be slow to answer.
        reason = wait(probe(stack), Deadline(_PATIENCE)) if probe and stack.runs(id_) else ""
        if reason:
            raise PreconditionError(
                "E706",
                f"{BY_ID[id_].title} is not ready, so nothing can be verified: {reason}.",
                cause="It was stopped, it crashed, or it is still starting.",
                next=f"llm-gateway status; llm-gateway logs {id_}",
            )


def _chosen(names: Sequence[str], *, deep: bool) -> list[Proof]:
    proofs = runner.all_proofs()
    known = [proof.capability for proof in proofs]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            "E701",
            f"There is no capability {', '.join(unknown)}.",
            cause=f"Capabilities are: {', '.join(known)}.",
            next="llm-gateway verify",
        )
    # Naming one is asking for it, whatever it takes.
    return [proof for proof in proofs if proof.capability in names or (not names and (deep or not proof.deep))]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PreconditionError(
            "E704",
            "Another llm-gateway verify runs in this home.",
            cause="Each needs the probe model's upstream for itself.",
            next="Wait until it is over, or end it; then: llm-gateway verify",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _refuse_unknown(bench: Bench, only_models: Sequence[str]) -> None:
    known = [model.name for model in bench.catalogue()] if only_models else []
    unknown = [name for name in only_models if name not in known]
    if unknown:
        raise InputError(
            "E701",
            f"The gateway has no model {', '.join(unknown)}.",
            cause=f"Its models are: {', '.join(known) or 'none'}.",
            next="llm-gateway verify --model NAME",
        )


def _announce(context: Context, bench: Bench, proofs: Sequence[Proof]) -> dict[str, int]:
    """Say what will cost money before it does."""
    asked = [proof.capability for proof in proofs]
    calls = dict(models.paid(bench, asked))
    for name, count in semantic_cache.paid(bench, asked).items() if bench.has_probe else ():
        calls[name] = calls.get(name, 0) + count
    context.progress.note(f"Verifying {bench.stack.public_url}")
    if calls:
        thinks = any(model.thinks and model.name in calls for model in bench.catalogue())
        longest = models.THINKING if thinks else models.MAX_TOKENS
        each = ", ".join(f"{name} {count}" for name, count in calls.items())
        context.progress.note(f"Calls to models that may cost money: {each} (each at most {longest} tokens long)")
    return calls


def _result(outcomes: Sequence[Outcome], *, seconds: float, paid: dict[str, int], url: str) -> Result:
    failed = [outcome for outcome in outcomes if outcome.state == "not proven"]
    width = max(len(outcome.capability) for outcome in outcomes)
    lines: list[str] = []
    for outcome in outcomes:
        lines.append(f"{outcome.capability:<{width}}  {outcome.state:<11}  {outcome.text}")
        if outcome.state in {"not proven", "unavailable"}:
            details = [("Cause", outcome.cause), ("Next", outcome.next)]
            lines += [f"{'':<{width}}    {name}: {text}" for name, text in details if text]
    states = [outcome.state for outcome in outcomes]
    counts = ", ".join(f"{states.count(state)} {state}" for state in _STATES if state in states)
    return Result(
        "verify",
        {
            "url": url,
            "seconds": round(seconds, 2),
            "paid_calls": paid,
            "capabilities": [asdict(outcome) for outcome in outcomes],
        },
        "\n".join([*lines, "", f"{counts}, in {seconds:.1f} s."]),
        errors=tuple(Problem("E705", f"{o.capability}: {o.text}", o.cause, o.next) for o in failed),
        exit_code=1 if failed else 0,
    )
