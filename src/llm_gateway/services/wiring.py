"""Wiring: the person's model config plus what every room declares for the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.files import write_atomic
from llm_gateway.model_config import effective, include, load
from llm_gateway.model_config.lint.document import shown
from llm_gateway.services.upstreams import from_container

if TYPE_CHECKING:
    from pathlib import Path

    from llm_gateway.model_config.effective import Change
    from llm_gateway.services.base import Setting, Stack


def effective_config(stack: Stack) -> tuple[dict[str, Any], list[Change]]:
    """What LiteLLM is given, and how that differs from the person's file with its includes. Reads files only.

    With `asIs` it is the person's file, and nothing differs.

    Raises:
        InputError: E120 to E123, the file or one that it includes is unusable.
    """
    if stack.choices.flag("asIs"):
        return include.anchor(load.load(stack.config), stack.config.parent), []
    config = include.read(stack.config)
    return effective.complete(config, _wanted(stack, config))


def _wanted(stack: Stack, config: dict[str, Any]) -> list[Setting]:
    from llm_gateway.services.registry import SERVICES  # noqa: PLC0415 - the gateway's room is in it and uses this

    wanted = [setting for service in SERVICES for setting in service.gateway_settings(stack, config)]
    if stack.placements["gateway"].where == "docker":
        wanted += from_container(config, stack.values)
    return wanted


def write_effective(stack: Stack, path: Path | None = None) -> list[Change]:
    """Write the effective config to `path`, by default to its place in the home; gives the changes.

    Raises:
        InputError, PreconditionError: as `effective_config`, and E103.
    """
    config, changes = effective_config(stack)
    write_atomic(path or stack.home.effective_config, effective.render(config, source=str(stack.config)))
    return changes


def notes(stack: Stack) -> tuple[str, ...]:
    """What a person must hear about the wiring: what goes against the file, and services that run for nothing.

    Raises:
        InputError: as `effective_config`.
    """
    from llm_gateway.services.registry import SERVICES  # noqa: PLC0415 - see _wanted

    config, changes = effective_config(stack)
    if stack.choices.flag("asIs"):
        config = include.read(stack.config)
    against: dict[str, list[str]] = {}
    for change in changes:
        if change.operation in {"remove", "replace"}:
            name = shown(change.path) + (f": {change.before}" if change.member else "")
            against.setdefault(change.reason, []).append(name)
    lines = [f"Not as the config says: {', '.join(names)}: {reason}." for reason, names in against.items()]
    lines += [service.unused(stack, config) for service in SERVICES if stack.runs(service.id)]
    lines += [service.caution(stack, config) for service in SERVICES]
    return tuple(line for line in lines if line)
