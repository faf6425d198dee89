"""seed: make the wanted objects exist in the running gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.errors import PreconditionError
from llm_gateway.results import Result
from llm_gateway.seeding import litellm
from llm_gateway.seeding.api import AdminApi
from llm_gateway.services.gateway import local_url, master_key
from llm_gateway.services.registry import SERVICES
from llm_gateway.verbs.context import running_stack

if TYPE_CHECKING:
    from llm_gateway.progress import Progress
    from llm_gateway.seeding.litellm import Report
    from llm_gateway.services.base import Stack
    from llm_gateway.verbs.context import Context


def seed_stack(stack: Stack, progress: Progress, *, dry_run: bool = False) -> list[Report]:
    """Seed the gateway of a running stack. Errors: E601, E602."""
    with progress.step("Seeding") as step, AdminApi(local_url(stack), master_key(stack)) as api:
        objects = litellm.wanted(stack.values["LLM_GATEWAY_VIRTUAL_KEY"])
        objects += tuple(item for service in SERVICES if stack.runs(service.id) for item in service.seeds(stack))
        reports = litellm.apply(api, objects, dry_run=dry_run)
        step.detail(counts(reports))
    for report in reports:
        if report.outcome != "unchanged":
            progress.note(f"    {report.kind:<10} {report.id:<24} {report.outcome}")
    return reports


def counts(reports: list[Report]) -> str:
    """`5 created` or `5 unchanged`."""
    outcomes = [report.outcome for report in reports]
    return ", ".join(f"{outcomes.count(o)} {o}" for o in ("created", "changed", "unchanged") if o in outcomes)


def seed(context: Context, *, dry_run: bool = False) -> Result:
    """The verb.

    Raises:
        PreconditionError: E603, no gateway runs or it has no database.
    """
    stack = running_stack(context)
    if stack is None or not stack.runs("postgres"):
        raise PreconditionError(
            "E603",
            "There is nothing to seed.",
            cause="No gateway runs in this home." if stack is None else "It runs without a database.",
            next="llm-gateway start",
        )
    reports = seed_stack(stack, context.progress, dry_run=dry_run)
    rows = [f"{report.kind:<10} {report.id:<24} {report.outcome}" for report in reports]
    data = {"dry_run": dry_run, "objects": [_row(report) for report in reports]}
    return Result("seed", data, "\n".join(rows))


def _row(report: Report) -> dict[str, object]:
    return {"kind": report.kind, "id": report.id, "outcome": report.outcome, "fields": list(report.fields)}
