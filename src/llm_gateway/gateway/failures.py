"""Why a gateway does not come up, as errors."""

from __future__ import annotations

from llm_gateway.errors import DeadlineError, GatewayError


def does_not_start(reason: str) -> GatewayError:
    return GatewayError(
        "E510",
        f"the gateway does not start: {reason}",
        cause="LiteLLM refuses this config or environment, or a service it needs is not reachable",
        next="llm-gateway logs gateway",
    )


def not_importable(reason: str) -> GatewayError:
    return GatewayError(
        "E511",
        f"LiteLLM cannot be imported: {reason}",
        cause="the installation in this virtual environment is incomplete or was changed",
        next="./scripts/start_llm_gateway.sh (it repairs the installation)",
    )


def late(seconds: float) -> DeadlineError:
    return DeadlineError(
        "E512",
        f"the gateway was not ready within {seconds:.0f} s",
        cause="the machine is very slow or busy, or a service does not answer",
        next="llm-gateway logs gateway",
    )


def not_now() -> GatewayError:
    return GatewayError(
        "E513",
        "the gateway cannot be reloaded at this moment",
        cause="it is still starting, it is stopping, or another reload is under way",
        next="llm-gateway status, then llm-gateway reload again",
    )


def cannot_reload(what: str) -> GatewayError:
    return GatewayError(
        "E514",
        f"a reload cannot do this: {what}",
        cause="the gateway keeps its socket through a reload; only its config, its environment and its workers change",
        next="llm-gateway restart",
    )
