"""Prometheus: metrics of the gateway, kept for a while, and alert rules on them.

Native: the binary of the Debian package `prometheus`, when it is on the machine. The wiring of the gateway is here,
too; what is scraped of it stands in `gateway_metrics`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from llm_gateway import credentials
from llm_gateway.doctor import prometheus as doctor
from llm_gateway.dotenv import Line
from llm_gateway.errors import GatewayError, InputError
from llm_gateway.files import write_atomic
from llm_gateway.gateway import samples
from llm_gateway.model_config import include
from llm_gateway.model_config.redaction import address
from llm_gateway.probes import HttpProbe
from llm_gateway.seeding import litellm
from llm_gateway.services.base import (
    Absent,
    Check,
    Draft,
    Placement,
    Port,
    Process,
    Proof,
    Run,
    ScrapeTarget,
    Secret,
    Service,
    Setting,
    Stack,
)
from llm_gateway.services.callbacks import SECTION, named
from llm_gateway.services.probe_model import without_probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.proofs.base import Evidence
    from llm_gateway.proofs.bench import Bench
    from llm_gateway.seeding.litellm import Wanted

URL = "PROMETHEUS_URL"  # LiteLLM's own name for it; its admin UI and its alerts ask there, too
KEY = "LLM_GATEWAY_METRICS_KEY"
CALLBACK = "prometheus"
SCRAPE_SECONDS = 5
_RULES = Path("observability") / "alerts.yaml"
# Each person and program would make series of its own; an address is personal data besides.
_UNBOUNDED = ["client_ip", "user_agent"]


def place(draft: Draft) -> Placement:
    """External when PROMETHEUS_URL is somebody's own; else native where the binary is; else unavailable.

    Raises:
        InputError: E350, PROMETHEUS_URL is no URL.
    """
    if not draft.choices.flag("enablePrometheus"):
        return Placement("off", "Switched off.")
    url = draft.environment.get(URL)
    if url and not draft.rendered(URL):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError(
                "E350",
                f"{URL} is not the URL of a Prometheus: {address(url)}.",
                cause="It begins with http:// or https:// and names a host.",
                next=f"Mend {URL} in .env, or remove the line: the kit then runs a Prometheus itself",
            )
        return Placement("external", f"{URL} names {address(url)}.")
    found = draft.findings.prometheus_server
    if found:
        return Placement("native", "prometheus of this machine.", how=str(found))
    return Placement(
        "unavailable",
        "There is no prometheus on this machine, and it cannot be had from PyPI.",
        next=f"apt-get install prometheus (Debian, Ubuntu), or name one by {URL} in .env",
    )


def environment(draft: Draft) -> tuple[Line, ...]:
    """Its address, and the key with which it reads the gateway's metrics; nothing where it does not run."""
    placement = draft.placements["prometheus"]
    if not placement.runs:
        return ()
    # What the process environment says is for this start only; the file keeps its own word.
    external = placement.where == "external"
    url = draft.environment.file.get(URL, "") if external else f"http://localhost:{draft.ports['prometheusPort']}"
    return (
        Line(URL, url, "Prometheus. Somebody else's makes the kit use that one."),
        Line(KEY, draft.secret(KEY), "The key with which Prometheus reads /metrics; it opens nothing else."),
    )


def _directory(stack: Stack) -> Path:
    return stack.home.state / "prometheus"


def scrape_config(stack: Stack) -> dict[str, Any]:
    """Prometheus' configuration: every room's targets, with their credentials in files of their own."""
    from llm_gateway.services.registry import SERVICES  # noqa: PLC0415 - the registry holds this room too

    targets = [target for service in SERVICES if stack.runs(service.id) for target in service.scrape_targets(stack)]
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "15s"},
        "rule_files": [str(stack.home.configs / _RULES)],
        "scrape_configs": [_job(stack, target) for target in targets],
    }


def _job(stack: Stack, target: ScrapeTarget) -> dict[str, Any]:
    parts = urlsplit(target.url)
    job: dict[str, Any] = {
        "job_name": target.job,
        "scheme": parts.scheme,
        "metrics_path": parts.path,
        "static_configs": [{"targets": [parts.netloc]}],
    }
    if target.credential:
        job["authorization"] = {"credentials_file": str(_credential(stack, target))}
    if target.drop:
        job["metric_relabel_configs"] = [
            {"source_labels": [label], "regex": pattern, "action": "drop"} for label, pattern in target.drop.items()
        ]
    return job


def _credential(stack: Stack, target: ScrapeTarget) -> Path:
    return _directory(stack) / f"{target.job}.credential"


def prepare(run: Run) -> None:
    """Write the configuration and the credentials; Prometheus reads the latter anew for each scrape."""
    stack = run.stack
    if stack.placements["prometheus"].where != "native":
        return
    _directory(stack).mkdir(exist_ok=True, mode=0o700)
    write_credentials(run)
    text = yaml.safe_dump(scrape_config(stack), sort_keys=False)
    write_atomic(_directory(stack) / "prometheus.yml", f"# Made by llm-gateway at each start.\n{text}")


def write_credentials(run: Run) -> None:
    """What the targets ask for, one 0600 file each; again at a reload, which may bring another master key."""
    from llm_gateway.services.registry import SERVICES  # noqa: PLC0415 - see scrape_config

    stack = run.stack
    if stack.placements["prometheus"].where != "native":
        return
    for service in SERVICES:
        for target in service.scrape_targets(stack) if stack.runs(service.id) else ():
            if target.credential:
                write_atomic(_credential(stack, target), target.credential)


def processes(stack: Stack) -> tuple[Process, ...]:
    """One server on loopback. It has no authentication of its own, and it sends nothing anywhere."""
    directory = _directory(stack)
    arguments = {
        "--config.file": str(directory / "prometheus.yml"),
        "--storage.tsdb.path": str(directory / "data"),
        "--storage.tsdb.retention.time": retention(stack),
        "--web.listen-address": f"127.0.0.1:{stack.ports['prometheusPort']}",
        "--web.external-url": f"http://localhost:{stack.ports['prometheusPort']}/",
    }
    argv = [stack.placements["prometheus"].how, *(f"{name}={value}" for name, value in arguments.items())]
    return (Process("prometheus", tuple(argv)),)


def retention(stack: Stack) -> str:
    """How long samples are kept, as Prometheus writes it: `15d`."""
    return f"{stack.choices.number('prometheusDays')}d"


def url(stack: Stack) -> str:
    """Where Prometheus answers."""
    return stack.values[URL].rstrip("/")


def probe(stack: Stack) -> HttpProbe:
    return HttpProbe(f"{url(stack)}/-/ready")


def _is_named(config: Mapping[str, Any]) -> bool:
    return any(callback == CALLBACK for _, callback in named(config))


def gateway_settings(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """LiteLLM's callback, unless the person's file names it in any list."""
    if not stack.runs("prometheus"):
        return ()
    exclude = "prometheus_exclude_labels"
    wanted = [Setting((SECTION, exclude), _UNBOUNDED, "enablePrometheus: no series for each address and program")]
    if stack.runs("postgres"):
        # A call tells what was left some seconds before it; of a budget that was spent at once it is the last word.
        refresh = "prometheus_initialize_budget_metrics"
        wanted.append(Setting((SECTION, refresh), value=True, reason="what is left of budgets, every five minutes"))
    if not _is_named(config):
        wanted.insert(0, Setting((SECTION, "callbacks"), CALLBACK, "enablePrometheus: calls are counted", "append"))
    return tuple(wanted)


def gateway_variables(stack: Stack) -> dict[str, str]:
    """Where the workers keep their samples: also a single one, so that counters go on after a reload."""
    if stack.values.get(samples.VARIABLE) or not (stack.runs("prometheus") or _persons_counts(stack)):
        return {}
    return {samples.VARIABLE: str(stack.home.socket("launcher.sock").with_name("prometheus"))}


def _persons_counts(stack: Stack) -> bool:
    try:
        return _is_named(include.read(stack.config))
    except GatewayError:  # an unusable config is told by those who need it
        return False


def unused(_stack: Stack, config: Mapping[str, Any]) -> str:
    if _is_named(config):
        return ""
    return (
        "Prometheus is enabled, but the config does not count: no callback names prometheus. "
        "Add callbacks: [prometheus], or leave out --as-is, or: --no-enable-prometheus."
    )


def hidden(stack: Stack) -> tuple[str, ...]:
    """The address of a server that does not run, as an earlier start left it in `.env`; a person's own stays."""
    if stack.runs("prometheus"):
        return ()
    port = stack.ports["prometheusPort"]
    return (URL,) if stack.values.get(URL) == f"http://localhost:{port}" else ()


def seeds(stack: Stack) -> tuple[Wanted, ...]:
    return (litellm.metrics_key(stack.values[KEY]),)


def own_targets(stack: Stack) -> tuple[ScrapeTarget, ...]:
    """Prometheus' metrics about itself."""
    return (ScrapeTarget("prometheus", f"http://127.0.0.1:{stack.ports['prometheusPort']}/metrics"),)


def absent(stack: Stack, config: Mapping[str, Any]) -> Absent | None:
    """Not proven where Prometheus does not run, nor without the probe model."""
    placement = stack.placements["prometheus"]
    if placement.where == "off":
        return Absent("off", placement.reason)
    if not placement.runs:
        return Absent("unavailable", placement.reason, next=placement.next)
    return without_probe(stack, config)


def _prove(bench: Bench) -> Evidence:
    from llm_gateway.proofs import metrics  # noqa: PLC0415 - it asks this room

    return metrics.prove(bench)


PROMETHEUS = Service(
    id="prometheus",
    title="Prometheus",
    place=place,
    ports=(Port("prometheusPort", "Prometheus"),),
    secrets=(Secret(KEY, None, credentials.virtual_key),),
    environment=environment,
    prepare=prepare,
    processes=processes,
    probe=probe,
    before_reload=write_credentials,
    hidden=hidden,
    gateway_settings=gateway_settings,
    gateway_variables=gateway_variables,
    unused=unused,
    seeds=seeds,
    scrape_targets=own_targets,
    proofs=(Proof("metrics", "Prometheus counted exactly the calls that were made", absent, _prove),),
    checks=(Check("D231", "The external Prometheus scrapes the gateway", doctor.scrapes),),
)
