"""The probe model: `llm-gateway-probe`, whose upstream is a server that `verify` runs while it proves.

It belongs to the team `llm-gateway-internal`, so LiteLLM 1.106.2 neither lists it under /v1/models nor lets keys of
others use it, and /health leaves it out. While nobody verifies nothing listens on its port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.names import INTERNAL, PROBE
from llm_gateway.services.base import Absent, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.services.base import Stack

PORT = "probePort"
# What every answer of the probe says (proofs/capture.py), and US dollars per token: each cost is known beforehand.
PROMPT_TOKENS, COMPLETION_TOKENS = 10, 5
INPUT_COST, OUTPUT_COST = 0.00001, 0.00002


def entry(stack: Stack) -> dict[str, Any]:
    """The probe as a member of `model_list`."""
    owner = {"team_id": INTERNAL, "team_public_model_name": PROBE} if stack.runs("postgres") else {}
    return {
        "model_name": PROBE,
        "litellm_params": {
            "model": f"openai/{PROBE}",
            "api_base": f"http://127.0.0.1:{stack.ports[PORT]}/v1",
            "api_key": "none",
            "max_retries": 0,
            "num_retries": 0,
            "timeout": 10,
        },
        "model_info": {
            "mode": "chat",
            **owner,
            "disable_background_health_check": True,
            "supports_vision": True,
            "input_cost_per_token": INPUT_COST,
            "output_cost_per_token": OUTPUT_COST,
            # LiteLLM warns at each start where a price of its own has none for its provider's cache.
            "cache_read_input_token_cost": 0,
            "cache_creation_input_token_cost": 0,
        },
    }


def is_in(config: Mapping[str, Any]) -> bool:
    """Does an effective config have the probe? Not with `asIs`."""
    return any(entry.get("model_name") == PROBE for entry in config.get("model_list") or [])


def without_probe(_stack: Stack, config: Mapping[str, Any]) -> Absent | None:
    """Why a proof on the probe is not to be had with this config: it is missing."""
    if is_in(config):
        return None
    return Absent(
        "unavailable",
        f"The running config has no {PROBE}, the model on which this is shown: --as-is leaves it out.",
        next="llm-gateway restart --no-as-is",
    )


def settings(stack: Stack) -> tuple[Setting, ...]:
    """The probe, and the switch that keeps it out of /health."""
    skip = ("general_settings", "health_check_skip_disabled_background_models")
    return (
        Setting(("model_list",), entry(stack), "llm-gateway verify shows masking, caching, … on it", "append", order=9),
        Setting(skip, value=True, reason=f"/health leaves {PROBE} out"),
    )
