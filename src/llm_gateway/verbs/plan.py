"""plan, config show and init: what would happen, and writing it down without starting anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway import home_files
from llm_gateway.errors import GatewayError
from llm_gateway.model_config import changes as show
from llm_gateway.model_config.effective import as_yaml
from llm_gateway.model_config.redaction import masked
from llm_gateway.prisma_wasm import migrate
from llm_gateway.results import Result
from llm_gateway.services import wiring
from llm_gateway.services.registry import BY_ID
from llm_gateway.verbs.context import make_stack, planned_stack, reopen, running_stack
from llm_gateway.verbs.locking import changing

if TYPE_CHECKING:
    from llm_gateway.services.base import Stack
    from llm_gateway.verbs.context import Context


def plan(context: Context) -> Result:
    """The verb: where everything would run and why, with the source of each choice. Writes nothing."""
    stack = running_stack(context) or make_stack(context)
    _, changes = wiring.effective_config(stack)
    warnings = (*stack.warnings, *wiring.notes(stack))
    data = {**describe(stack), "choices": context.choices.as_dict(), "database": _database(stack)}
    data["config_changes"] = show.as_data(changes)
    lines = [
        f"Home    {stack.home.root}",
        f"Config  {stack.config}",
        f"Engine  {stack.engine}: {stack.engine_reason}",
        "",
    ]
    for id_, placement in stack.placements.items():
        port = ", ".join(str(stack.ports[port.setting]) for port in BY_ID[id_].ports)
        where = f"{placement.where} :{port}" if port and placement.where == "native" else placement.where
        lines.append(f"{id_:<12} {where:<14} {placement.reason} {placement.next}".rstrip())
    lines += ["", f"Workers {stack.workers}", f"Database {data['database']}", "", "Chosen:"]
    asked = [c.id for c in context.choices.catalogue if context.choices.asked(c.id)]
    lines += [f"  {id_} = {context.choices[id_]} ({context.choices.source(id_)})" for id_ in asked] or [
        "  nothing; all defaults"
    ]
    lines += ["", "Variables:"]
    lines += [f"  {name:<30} {source}" for name, source in data["variables"].items()]
    lines += ["", f"Effective config, compared with {stack.config}:"]
    lines += [f"  {line}" for line in show.diff(changes)] or ["  no difference"]
    return Result("plan", data, "\n".join(lines), warnings=warnings)


def show_config(context: Context, *, raw: bool = False) -> Result:
    """The verb `config show`: the effective config that a start would write. Writes nothing.

    Args:
        context: with the config to show.
        raw: show secrets, too.
    """
    stack = planned_stack(context)
    config, changes = wiring.effective_config(stack)
    shown = config if raw else masked(config)
    data = {"config": shown, "changes": show.as_data(changes)}
    return Result("config show", data, as_yaml(shown).rstrip("\n"), warnings=wiring.notes(stack))


def _database(stack: Stack) -> str:
    """What will happen to the database; asks a server of somebody else's when it can be reached."""
    where = stack.placements["postgres"].where
    if where == "off":
        return "none"
    if where == "native":
        return "of this home; saved before it is migrated" if stack.findings.data_major else "new"
    try:
        ledger = migrate.inspect(stack.values["DATABASE_URL"])
    except GatewayError as error:
        return f"not reachable: {error.problem.message}"
    words = {
        "empty": "new",
        "foreign-tables": "it holds tables of another program: the start will refuse",
        "newer": "newer than this version knows: the start will refuse",
        "pending": f"{len(ledger.pending)} migrations to apply; saved before" if ledger.applied else "new",
    }
    return words.get(ledger.state, ledger.state)


def describe(stack: Stack) -> dict[str, Any]:
    """The stack without secrets, as JSON."""
    variables = {}
    for lines in stack.lines.values():
        for line in lines:
            source = stack.environment.source(line.name)
            variables[line.name] = source or ("generated" if line.value else "empty")
    return {
        "home": str(stack.home.root),
        "config": str(stack.config),
        "engine": {"name": stack.engine, "reason": stack.engine_reason},
        "placements": {
            id_: {"where": p.where, "reason": p.reason, "next": p.next} for id_, p in stack.placements.items()
        },
        "ports": dict(stack.ports),
        "public_url": stack.public_url,
        "workers": stack.workers,
        "variables": variables,
    }


def init(context: Context) -> Result:
    """The verb: write `.env`, the choices and the configs; start nothing. A second run changes nothing."""
    context.home.create()
    with changing(context.home, progress=context.progress, timeout=30):
        home_files.adopt_env(context.home)
        context = reopen(context)
        existed = context.home.env_file.exists()
        stack = make_stack(context)
        home_files.write_home(stack)
    text = "\n".join(
        [
            f"Home     {context.home.root}",
            f".env     {context.home.env_link} ({'kept' if existed else 'written, with new secrets'})",
            f"Configs  {context.home.configs}",
            "",
            f"Next: llm-gateway start --config {stack.config}",
        ]
    )
    return Result("init", {**describe(stack), "env_written": not existed}, text, warnings=stack.warnings)
