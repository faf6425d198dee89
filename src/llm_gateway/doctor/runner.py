"""The doctor: every check that applies, side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_gateway.doctor import machine
from llm_gateway.errors import GatewayError
from llm_gateway.services.registry import SERVICES

if TYPE_CHECKING:
    from llm_gateway.services.base import Check, Stack


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one check found. `finding` is "" when all is well."""

    id: str
    title: str
    severity: str
    finding: str = ""
    next: str = ""


def all_checks() -> tuple[Check, ...]:
    """Those of the machine, then those of the services."""
    return (*machine.CHECKS, *(check for service in SERVICES for check in service.checks))


def examine(stack: Stack) -> list[Diagnosis]:
    """Run every check; one that fails itself is reported as its finding."""
    checks = all_checks()
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda check: _look(check, stack), checks))


def at_start(stack: Stack) -> tuple[str, ...]:
    """What the checks of a start find, a sentence with its repair each."""
    found = (_look(check, stack) for check in all_checks() if check.at_start)
    return tuple(f"{one.finding} {one.next}" for one in found if one.finding)


def _look(check: Check, stack: Stack) -> Diagnosis:
    try:
        found = check.look(stack)
    except (GatewayError, OSError) as error:
        found = (f"The check itself failed: {error}.", "llm-gateway logs")
    if found is None:
        return Diagnosis(check.id, check.title, check.severity)
    return Diagnosis(check.id, check.title, check.severity, *found)
