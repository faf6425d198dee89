"""Prompts on LiteLLM's own Logs page (`storePrompts`): for those who have no Langfuse.

Facts of LiteLLM 1.106.2, seen in the database: `store_prompts_in_spend_logs` fills the columns `proxy_server_request`
and `response` of `LiteLLM_SpendLogs`; the retention deletes whole rows of it, while what keys, users and teams have
spent stands in their own tables and in the daily ones and stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.errors import InputError
from llm_gateway.model_config.sections import section
from llm_gateway.services.base import Setting
from llm_gateway.services.callbacks import SECTION, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.services.base import Draft, Stack

HOOK = "llm_gateway.hooks.stored_prompts.masked_only"
_GENERAL = "general_settings"
_STORE = "store_prompts_in_spend_logs"
_KEEP = "maximum_spend_logs_retention_period"
_DAYS = "7d"
# By the clock: LiteLLM's other way counts from its start, and a gateway that is stopped daily would never clean up.
_EVERY = ("maximum_spend_logs_cleanup_cron", "*/10 * * * *")


def refuse(draft: Draft) -> None:
    """Without a database there is no Logs page.

    Raises:
        InputError: E379.
    """
    if draft.choices.flag("storePrompts") and not draft.choices.flag("database"):
        raise InputError(
            "E379",
            "storePrompts needs the database, and database is off.",
            cause="LiteLLM keeps what its Logs page shows in PostgreSQL.",
            next="llm-gateway start --database, or leave storePrompts off: llm-gateway start --no-store-prompts",
        )


def settings(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """What makes LiteLLM keep prompts, for seven days, and only masked ones where Presidio masks."""
    if not stack.choices.flag("storePrompts"):
        return ()
    asked = "storePrompts: the Logs page shows prompts"
    wanted = [Setting((_GENERAL, _STORE), value=True, reason=asked)]
    if _KEEP not in section(config, _GENERAL):
        wanted.append(Setting((_GENERAL, _KEEP), _DAYS, "storePrompts: older calls are deleted"))
    wanted.append(Setting((_GENERAL, _EVERY[0]), _EVERY[1], "storePrompts: when older calls are deleted"))
    if _masks(stack, config):
        wanted.append(Setting((SECTION, "callbacks"), HOOK, "storePrompts: what was not masked is not kept", "append"))
    return tuple(wanted)


def _masks(stack: Stack, config: Mapping[str, Any]) -> bool:
    guardrails = config.get("guardrails") or []
    members = guardrails if isinstance(guardrails, list) else []
    params = [member.get("litellm_params") for member in members if isinstance(member, dict)]
    own = any(isinstance(one, dict) and one.get("guardrail") == "presidio" for one in params)
    return stack.runs("presidio") or own or any(callback == "presidio" for _, callback in named(config))


def note(stack: Stack, config: Mapping[str, Any]) -> str:
    """What a person must hear who asked for it, given the effective config; "" for others."""
    if not stack.choices.flag("storePrompts"):
        return ""
    general = section(config, _GENERAL)
    if str(general.get(_STORE)).lower() != "true":
        return f"storePrompts has no effect: {_GENERAL}.{_STORE} is not true in the config that LiteLLM gets."
    kept = str(general.get(_KEEP) or "")
    if not kept:
        return f"Prompts are kept for ever: {_GENERAL}.{_KEEP} is not set."
    return (
        f"The Logs page keeps prompts for {kept}. Calls older than that are deleted from it and from the spend log; "
        "what keys, users and teams have spent stays."
    )
