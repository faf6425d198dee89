"""Proof of metrics: Prometheus read the gateway, and what it has counted went up by exactly the calls made."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from llm_gateway.names import PROBE
from llm_gateway.proofs.answers import said
from llm_gateway.proofs.base import Evidence, NotProven
from llm_gateway.services import prometheus
from llm_gateway.services.gateway import master_key
from llm_gateway.services.gateway_metrics import JOB, PROOF_ALIAS
from llm_gateway.services.prometheus_api import PrometheusApi, Target, Unusable, seconds

if TYPE_CHECKING:
    from llm_gateway.proofs.bench import Bench
    from llm_gateway.services.base import ScrapeTarget, Stack

_CALLS = 3
_COUNTED = 5.0  # seconds until the gateway itself shows a call; LiteLLM counts after the answer
_KNOWN = 6.0  # seconds until a Prometheus that has just started lists its targets; it gathers them every 5
_MORE = 5.0  # seconds besides two scrape intervals
METRIC = "litellm_proxy_total_requests_metric_total"
# A way to the probe that no other proof takes. It stands in the label `route`, so the calls can be told apart.
ROUTE = f"/engines/{PROBE}/chat/completions"
_LOGS = "llm-gateway logs prometheus"


def prove(bench: Bench) -> Evidence:
    """Look at the scrape, then make calls and read them back: from the gateway, then from Prometheus."""
    stack = bench.stack
    api = PrometheusApi(prometheus.url(stack))
    try:
        return _prove(bench, api)
    except Unusable as reason:
        raise _unusable(stack, reason) from None


def _prove(bench: Bench, api: PrometheusApi) -> Evidence:
    wanted = next(target for target in _own_targets(bench.stack) if target.job == JOB)
    kept = _retention(bench.stack, api)
    targets = bench.until(
        lambda: _ours(bench.stack, api, wanted), seconds=_KNOWN, otherwise=lambda: _not_known(bench.stack, api)
    )
    patience = 2 * min(target.interval for target in targets) + _MORE
    bench.until(
        lambda: _scraped(bench.stack, api, wanted),
        seconds=patience,
        otherwise=lambda: NotProven(
            f"{api.shown} knows the gateway, but has not scraped it yet.", cause="It is overloaded.", next=_LOGS
        ),
    )
    before = _counted(bench, wanted)
    _call(bench)
    began, expected = time.monotonic(), before + _CALLS
    seen = before

    def counted() -> bool:
        nonlocal seen
        seen = _counted(bench, wanted)
        return seen >= expected

    bench.until(counted, seconds=_COUNTED, otherwise=lambda: _not_counted(seen - before))
    if seen > expected:
        raise _not_counted(seen - before)
    query = f'sum({METRIC}{{job="{JOB}", route="{ROUTE}"}})'
    found: list[float] = [0.0]

    def read() -> bool:
        found[0] = api.value(query) or 0.0
        return found[0] == expected

    bench.until(read, seconds=patience, otherwise=lambda: _not_read(api, found[0], expected))
    took = time.monotonic() - began
    text = f"{_CALLS} calls, and {METRIC} went from {before:.0f} to {found[0]:.0f} in Prometheus after {took:.1f} s"
    data = {"prometheus": api.shown, "query": query, "before": before, "after": found[0], "calls": _CALLS}
    return Evidence(text, {**data, "retention": kept, "milliseconds": round(took * 1000)})


def _own_targets(stack: Stack) -> tuple[ScrapeTarget, ...]:
    from llm_gateway.services.gateway_metrics import scrape_targets  # noqa: PLC0415 - see services.gateway_metrics

    return scrape_targets(stack)


def _unusable(stack: Stack, reason: Unusable) -> NotProven:
    if stack.placements["prometheus"].where == "external":
        return NotProven(
            f"The Prometheus that {prometheus.URL} names cannot be asked: {reason}.",
            cause="It was stopped, or the variable names a wrong host or port.",
            next=f"Start it, or mend {prometheus.URL} in .env, then: llm-gateway restart",
        )
    if reason.answered:
        return NotProven(
            f"Prometheus cannot be asked: {reason}.",
            cause="Another program listens on its port.",
            next="llm-gateway status; llm-gateway restart --prometheus-port PORT",
        )
    return NotProven(
        f"Prometheus does not run: {reason}.",
        cause="Its process ended, and nobody could start it again.",
        next=f"llm-gateway status; {_LOGS}",
    )


def _retention(stack: Stack, api: PrometheusApi) -> str:
    """How long samples are kept; that of somebody else's is their business."""
    kept = api.flags().get("storage.tsdb.retention.time", "")
    wanted = prometheus.retention(stack)
    if stack.placements["prometheus"].where == "native" and seconds(kept) != seconds(wanted):
        raise NotProven(
            f"The Prometheus at {api.shown} keeps samples for {kept}, not for {wanted}.",
            cause="Another Prometheus than this home's listens there.",
            next="llm-gateway status; llm-gateway restart --prometheus-port PORT",
        )
    return kept


def _ours(stack: Stack, api: PrometheusApi, wanted: ScrapeTarget) -> list[Target]:
    """The gateway among its targets; somebody else's may reach it under another address."""
    external = stack.placements["prometheus"].where == "external"
    return [one for one in api.targets() if one.job == JOB and (external or one.url == wanted.url)]


def _scraped(stack: Stack, api: PrometheusApi, wanted: ScrapeTarget) -> bool:
    """Has the last scrape of the gateway succeeded? One that has just started has not scraped anything yet.

    Raises:
        NotProven: it has failed.
    """
    ours = _ours(stack, api, wanted)
    if ours and all(one.health == "down" for one in ours):
        raise _down(ours[0], external=stack.placements["prometheus"].where == "external")
    return any(one.health == "up" for one in ours)


def _not_known(stack: Stack, api: PrometheusApi) -> NotProven:
    external = stack.placements["prometheus"].where == "external"
    return NotProven(
        f"The Prometheus at {api.shown} does not scrape this gateway.",
        cause=f"Its configuration has no job {JOB}." if external else "Another gateway's Prometheus listens there.",
        next="docs/metrics.md has the lines for its configuration" if external else "llm-gateway status",
    )


def _down(target: Target, *, external: bool) -> NotProven:
    message = f"Prometheus cannot read {target.url}: {target.error}."
    if "401" in target.error or "403" in target.error:
        mend = "llm-gateway seed; if that is not it: llm-gateway restart"
        mend = f"Give its job {JOB} the key in {prometheus.KEY} of .env" if external else mend
        return NotProven(message, cause="The gateway refuses the key with which Prometheus comes.", next=mend)
    if "404" in target.error:
        return NotProven(
            message,
            cause="Its path is another one, or the gateway has no metrics.",
            next=f"Set metrics_path: /metrics/ for the job {JOB}" if external else "llm-gateway logs gateway",
        )
    return NotProven(
        message,
        cause="The gateway is not where Prometheus looks for it, or answers too slowly.",
        next=f"Mend the target of its job {JOB}" if external else "llm-gateway status; llm-gateway restart",
    )


def _call(bench: Bench) -> None:
    """The calls. Their key is always the same, because each new one would leave its series in Prometheus for weeks."""
    key = ""
    if bench.has_keys:
        digest = hashlib.sha256(b"llm-gateway verify metrics\0" + master_key(bench.stack).encode()).hexdigest()
        key = bench.key(key=f"sk-{digest}", key_alias=PROOF_ALIAS)
    try:
        for _ in range(_CALLS):
            body = {"messages": [{"role": "user", "content": f"metrics {bench.nonce()}"}], "cache": {"no-cache": True}}
            answer = bench.post(ROUTE, body, key=key)
            if answer.status_code != 200:
                raise NotProven(
                    f"A call was answered with {answer.status_code}: {said(answer)}",
                    cause="The gateway itself cannot answer: its own probe model stands behind this call.",
                    next="llm-gateway logs gateway",
                )
    finally:
        if key:
            bench.revoke(key)


def _counted(bench: Bench, target: ScrapeTarget) -> float:
    """What the gateway itself has counted of such calls, read as Prometheus reads it."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - only here

    with bench.client(target.credential) as client:
        answer = client.get(target.url)
    if answer.status_code != 200:
        raise NotProven(
            f"The gateway answers {target.url} with {answer.status_code}: {said(answer)}",
            cause=f"It refuses the key in {prometheus.KEY}." if answer.status_code == 401 else "It has no metrics.",
            next="llm-gateway seed" if answer.status_code == 401 else "llm-gateway logs gateway",
        )
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return sum(one.value for one in samples if one.name == METRIC and one.labels.get("route") == ROUTE)


def _not_counted(more: float) -> NotProven:
    message = f"{_CALLS} calls were answered, and the gateway counted {more:.0f}."
    if more > _CALLS:
        return NotProven(
            message,
            cause="A callback counts twice, or somebody else calls the same route.",
            next="Name prometheus once, under callbacks in litellm_settings; then: llm-gateway reload",
        )
    return NotProven(
        message,
        cause="LiteLLM does not count all: prometheus is not among litellm_settings.callbacks (success_callback alone "
        "does not do), or prometheus_metrics_config leaves the metric out.",
        next="llm-gateway plan shows the effective config; mend it, then: llm-gateway reload",
    )


def _not_read(api: PrometheusApi, found: float, expected: float) -> NotProven:
    return NotProven(
        f"The gateway counted {expected:.0f} such calls, Prometheus has {found:.0f}.",
        cause=f"Its scrapes of the gateway stopped, or its configuration drops {METRIC}.",
        next=_LOGS,
        data={"prometheus": api.shown, "expected": expected, "found": found},
    )
