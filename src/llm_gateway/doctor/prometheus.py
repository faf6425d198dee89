"""Checks of a Prometheus that the person names. The room names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.services.gateway_metrics import JOB
from llm_gateway.services.prometheus_api import PrometheusApi, Unusable

if TYPE_CHECKING:
    from llm_gateway.services.base import Stack

_DOCS = "docs/metrics.md has the lines for its configuration"


def scrapes(stack: Stack) -> tuple[str, str] | None:
    """It answers, and it has a job for the gateway; the kit's own is watched by its supervisor."""
    if stack.placements["prometheus"].where != "external":
        return None
    api = PrometheusApi(stack.values["PROMETHEUS_URL"])
    try:
        jobs = {target.job for target in api.targets()}
    except Unusable as reason:
        return f"The Prometheus that PROMETHEUS_URL names cannot be asked: {reason}.", "Mend PROMETHEUS_URL in .env"
    if JOB not in jobs:
        return f"The Prometheus at {api.shown} has no job {JOB}: it does not scrape the gateway.", _DOCS
    return None
