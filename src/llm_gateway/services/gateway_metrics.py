"""What Prometheus reads of the gateway: LiteLLM's `/metrics`, with a key that opens nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.names import VERIFY
from llm_gateway.services.base import ScrapeTarget

if TYPE_CHECKING:
    from llm_gateway.services.base import Stack

JOB = "llm-gateway"
# Every `verify` makes keys of its own, and each would leave its series for weeks. The name that the proof of the
# metrics uses is always the same.
PROOF_ALIAS = f"{VERIFY}-metrics"
_OF_ONE_VERIFY = f"{VERIFY}-probe.*"


def scrape_targets(stack: Stack) -> tuple[ScrapeTarget, ...]:
    """The gateway itself."""
    from llm_gateway.services.gateway import local_url, master_key  # noqa: PLC0415 - that room names this module
    from llm_gateway.services.prometheus import KEY  # noqa: PLC0415 - so does that one

    # Virtual keys are in the database; without one the master key is the only key there is.
    key = stack.values[KEY] if stack.runs("postgres") else master_key(stack)
    drop = dict.fromkeys(("api_key_alias", "user"), _OF_ONE_VERIFY)
    return (ScrapeTarget(JOB, f"{local_url(stack)}/metrics/", credential=key, drop=drop),)
