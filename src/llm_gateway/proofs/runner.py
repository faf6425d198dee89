"""Running proofs: side by side, then the deep ones one after another; an outcome for each."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import httpx

from llm_gateway.errors import GatewayError
from llm_gateway.proofs.base import NothingToProve, NotProven, ProviderDown
from llm_gateway.services.registry import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_gateway.progress import Progress
    from llm_gateway.proofs.bench import Bench
    from llm_gateway.services.base import Absent, Proof

State = Literal["proven", "not proven", "unavailable", "off"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one proof.

    Attributes:
        capability: its name.
        state: proven, not proven, unavailable (wanted, and cannot be had here), or off.
        text: the evidence, or what happened, in one line.
        cause, next: when not proven, the likely cause and the next command.
        data: ids, values and milliseconds.
        seconds: how long it took.
    """

    capability: str
    state: State
    text: str
    cause: str = ""
    next: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def all_proofs() -> tuple[Proof, ...]:
    """Every proof, the gateway's first, in the order in which `verify` names them."""
    rooms = sorted(SERVICES, key=lambda service: service.id != "gateway")
    proofs = [proof for service in rooms for proof in service.proofs]
    return tuple(sorted(proofs, key=lambda proof: proof.deep))


def run(bench: Bench, proofs: Sequence[Proof], progress: Progress) -> list[Outcome]:
    """Run proofs and give their outcomes in the order of `proofs`."""
    absent = {proof.capability: proof.absent(bench.stack, bench.config) for proof in proofs}
    outcomes = {name: _absent(name, why) for name, why in absent.items() if why is not None}
    wanted = [proof for proof in proofs if proof.capability not in outcomes]
    if wanted:
        quick = [proof for proof in wanted if not proof.deep]
        with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
            try:
                done = list(pool.map(lambda proof: _one(bench, proof, progress), quick))
            except BaseException:  # Ctrl-C: the pool waits for its threads, and some wait for minutes
                bench.stop()
                raise
        done += [_one(bench, proof, progress) for proof in wanted if proof.deep]
        outcomes |= {outcome.capability: outcome for outcome in done}
    return [outcomes[proof.capability] for proof in proofs]


def _absent(capability: str, why: Absent) -> Outcome:
    return Outcome(capability, why.state, why.reason, next=why.next)


def _one(bench: Bench, proof: Proof, progress: Progress) -> Outcome:
    began = time.monotonic()
    with progress.step(proof.capability) as step:
        outcome = _tried(bench, proof, began)
        step.detail(outcome.state)
    return outcome


def _tried(bench: Bench, proof: Proof, began: float) -> Outcome:
    """The outcome of one proof; one that fails by itself must not hide the others'."""
    name = proof.capability
    try:
        evidence = proof.prove(bench)
    except NothingToProve as why:
        return Outcome(name, "off", str(why), seconds=_since(began))
    except Exception as error:  # noqa: BLE001 - see above
        reason = _reason(error)
        state: State = "unavailable" if isinstance(reason, ProviderDown) else "not proven"
        return Outcome(name, state, reason.message, reason.cause, reason.next, reason.data, _since(began))
    return Outcome(name, "proven", evidence.text, data=evidence.data, seconds=_since(began))


def _reason(error: Exception) -> NotProven:
    """Whatever ended a proof, with a cause and a next command."""
    if isinstance(error, NotProven):
        return error
    if isinstance(error, GatewayError):
        problem = error.problem
        return NotProven(f"{problem.code} {problem.message}", cause=problem.cause, next=problem.next)
    if isinstance(error, httpx.HTTPError):
        return NotProven(
            f"The gateway did not answer: {str(error) or type(error).__name__}.",
            cause="It is overloaded, or it was stopped meanwhile.",
            next="llm-gateway status",
        )
    return NotProven(
        f"The proof itself failed: {error!r:.200}",
        cause="The gateway answered something that llm-gateway does not expect.",
        next="llm-gateway logs gateway",
    )


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
