"""Prometheus of the kit's own beside a real gateway with two workers: what it counts, its alerts, LiteLLM's webhook."""

from __future__ import annotations

import json
import re
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from doubles.server import running
from llm_gateway.engines.supervisor import Supervisor
from llm_gateway.gateway.control import ask
from llm_gateway.paths import Home as Paths
from llm_gateway.probes import HttpProbe
from llm_gateway.proofs.metrics import ROUTE
from llm_gateway.resources import resource
from llm_gateway.services.gateway import KEYS_CACHED
from llm_gateway.services.gateway_metrics import PROOF_ALIAS
from llm_gateway.services.prometheus_api import PrometheusApi
from support.home import free_ports, home, kill
from support.openai_upstream import serving
from support.prometheus import Receiver, promtool
from support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.home import Home
    from support.openai_upstream import Upstream

pytestmark = pytest.mark.needs("postgres", "prometheus", "redis")
REQUESTS = "litellm_proxy_total_requests_metric_total"
LOSSY = """\
from litellm.integrations.custom_logger import CustomLogger


class Lossy(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        if kwargs["model"] == "lossy":
            raise RuntimeError("nobody takes this event")


lossy = Lossy()
"""


class Metrics:
    """The home, its Prometheus, the model's upstream and the receiver of LiteLLM's alerts."""

    def __init__(self, made: Home, upstream: Upstream, receiver: Receiver) -> None:
        self.home, self.upstream, self.receiver = made, upstream, receiver
        self.master = made.values()["LITELLM_MASTER_KEY"]
        self.port = int(made.environ["LLM_GATEWAY_PROMETHEUS_PORT"])
        self.api = PrometheusApi(f"http://127.0.0.1:{self.port}")

    def samples(self, name: str, key: str = "") -> dict[tuple[tuple[str, str], ...], float]:
        """The gateway's own samples of one metric, by their labels."""
        answer = self.home.api("GET", "/metrics/", key or self.master)
        assert answer.status_code == 200, answer.text
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == name
        }

    def counted(self) -> float:
        """All calls of chats so far."""
        return sum(value for labels, value in self.samples(REQUESTS).items() if "chat" in dict(labels)["route"])

    def call(self, key: str, model: str, **body: Any) -> int:
        # A connection of its own: either worker may answer.
        message = {"role": "user", "content": "Hello!"}
        request = {"model": model, "messages": [message], **body}
        return self.home.api("POST", "/v1/chat/completions", key, json=request).status_code

    def firing(self, alert: str, **labels: str) -> list[dict[str, Any]]:
        wanted = {"alertname": alert, **labels}
        return [
            one for one in self.api.alerts() if one["state"] == "firing" and wanted.items() <= one["labels"].items()
        ]

    def credential(self) -> Path:
        return self.home.state / "prometheus" / "llm-gateway.credential"


def quick_rules(made: Home) -> None:
    """The kit's rules, looked at every second and without waiting; a person's edited copy is kept."""
    text = (resource("configs") / "observability" / "alerts.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^(\s+)for: .*$", r"\1for: 0s", text.replace("interval: 15s", "interval: 1s"))
    path = made.root / "configs" / "observability" / "alerts.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


def config(upstream: Upstream) -> dict[str, Any]:
    def priced(name: str, dollars: float, **more: Any) -> dict[str, Any]:
        entry = upstream.model(name)
        costs = {"input_cost_per_token": 0, "output_cost_per_token": dollars}
        return {**entry, "litellm_params": {**entry["litellm_params"], "model": f"openai/{name}", **costs, **more}}

    broken = priced("broken", 0, api_base="http://127.0.0.1:9/v1", max_retries=0, num_retries=0)
    return {
        "model_list": [priced("demo-chat", 0.03), priced("dear", 20), priced("lossy", 0), priced("slow", 0), broken],
        "litellm_settings": {"callbacks": ["lossy.lossy"], "cache": False},
        "router_settings": {"disable_cooldowns": True},
        "general_settings": {"alerting": ["webhook"], "proxy_batch_write_at": 1},
    }


@pytest.fixture(scope="module")
def metrics() -> Iterator[Metrics]:
    (port,) = free_ports(1)
    # With Redis, as by default: without one each worker knows of a budget what it has seen itself.
    flags = ("ENABLE_REDIS=true", "ENABLE_PROMETHEUS=true", "WORKERS=2", f"PROMETHEUS_PORT={port}")
    with (
        serving() as upstream,
        running(Receiver()) as receiver,
        home(*(f"LLM_GATEWAY_{flag}" for flag in flags), f"WEBHOOK_URL={receiver.url}/alerts", config=None) as made,
    ):
        (made.root / "lossy.py").write_text(LOSSY)
        (made.root / "mine.yaml").write_text(json.dumps(config(upstream)))
        quick_rules(made)
        made.start("--config", str(made.root / "mine.yaml"))
        yield Metrics(made, upstream, receiver)


def proven(metrics: Metrics, code: int = 0) -> dict[str, Any]:
    envelope = metrics.home.ask("verify", "metrics", code=code)
    return dict(envelope["data"]["capabilities"][0])


def test_prometheus_reads_the_gateway_with_a_key_that_opens_nothing_else(metrics: Metrics) -> None:
    made, key = metrics.home, metrics.home.values()["LLM_GATEWAY_METRICS_KEY"]
    assert metrics.samples("litellm_in_flight_requests", key)
    assert metrics.call(key, "demo-chat") == 403
    assert made.api("GET", "/v1/models", key).status_code == 403
    for stranger in ("none", "sk-nobody", made.values()["LLM_GATEWAY_VIRTUAL_KEY"]):
        assert made.api("GET", "/metrics/", stranger).status_code == 401
    assert metrics.credential().read_text() == key
    for path in ("llm-gateway.credential", "prometheus.yml"):
        assert stat.S_IMODE((made.state / "prometheus" / path).stat().st_mode) == 0o600
    process = made.service("prometheus")
    assert not any(key in word or metrics.master in word for word in process.cmdline())
    listening = {connection.laddr.ip for connection in process.net_connections() if connection.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    promtool("check", "config", str(made.state / "prometheus" / "prometheus.yml"))
    states = {one["service"]: one for one in made.ask("status")["data"]["services"]}
    assert states["prometheus"]["state"] == "ready"
    assert "Server is ready" in made.run("logs", "prometheus").stdout
    assert "litellm_settings.callbacks" in made.run("plan").stdout


def test_the_calls_of_a_proof_are_counted_exactly_and_always_in_the_same_series(metrics: Metrics) -> None:
    def series() -> float:
        return metrics.api.value(f'count({{route="{ROUTE}", job="llm-gateway"}})') or 0.0

    first = proven(metrics)
    assert (first["state"], first["data"]["retention"]) == ("proven", "15d")
    made = series()
    metrics.home.ask("verify", "keys")
    second = proven(metrics)
    assert second["data"]["before"] == first["data"]["after"] == second["data"]["after"] - 3
    assert series() == made
    for label in ("api_key_alias", "user"):
        others = f'{{{label}=~"llm-gateway-verify.*", {label}!="{PROOF_ALIAS}"}}'
        assert metrics.api.value(f"count({others})") is None


def test_counters_outlive_workers_and_their_files_do_not_pile_up(metrics: Metrics) -> None:
    made = metrics.home
    key = made.new_key(metrics.master)
    control = Paths(made.root).socket("launcher.sock")
    folder = control.with_name("prometheus")
    before = metrics.counted()
    for number in range(1, 9):
        assert metrics.call(key, "demo-chat") == 200
        eventually(lambda number=number: metrics.counted() == before + number, seconds=10, what=f"{number} calls")
        if number == 3:
            made.ask("reload")
        if number == 6:
            worker = psutil.Process(ask(control)["workers"][0]["pid"])
            kill(worker)
            psutil.wait_procs([worker], timeout=10)
    assert len(list(folder.glob("counter_*.db"))) <= 5  # two workers twice, and the importing parent
    assert not any("pid" in dict(labels) for labels in metrics.samples("litellm_remaining_api_key_budget_metric"))
    eventually(
        lambda: list(metrics.samples("litellm_in_flight_requests").values()) == [1.0], seconds=10, what="one in flight"
    )


def test_every_alert_fires_for_its_reason(metrics: Metrics) -> None:
    made, master = metrics.home, metrics.master
    key, limited = made.new_key(master, key_alias="everyday"), limited_keys(made, master)
    assert metrics.call(key, "slow") == 200
    eventually(lambda: not metrics.api.alerts(), seconds=20, what="an end of the alerts of the start")
    metrics.upstream.pace(10.5)  # seconds that a stream lasts
    slow = threading.Thread(target=lambda: metrics.call(key, "slow", stream=True))
    slow.start()
    reasons: dict[str, dict[str, str]] = {
        "GatewayErrorRate": {"severity": "critical"},
        "SpendPerHour": {"severity": "warning"},
        "CallbackLosesEvents": {"callback_name": "Lossy"},
        "GatewayLatencyP95": {"requested_model": "slow"},
    }
    found: dict[str, dict[str, Any]] = {}
    due = [0.0, 1.0]

    def missing() -> str:
        for model in ("broken", "broken", "broken", "dear", "lossy"):
            metrics.call(key, model)
        if time.monotonic() >= due[0]:
            # What is left comes from what a worker knows of the key, and that may be KEYS_CACHED seconds old.
            due[0] = time.monotonic() + KEYS_CACHED + 1
            for one in limited.values():
                for _ in range(27 if due[1] else 1):
                    metrics.call(one, "demo-chat")
            due[1] = 0
        found.update(
            {alert: fired[0] for alert, labels in reasons.items() if (fired := metrics.firing(alert, **labels))}
        )
        found.update({of: fired[0] for of in limited if (fired := metrics.firing("BudgetNearlySpent", of=of))})
        return ", ".join({*reasons, *limited} - found.keys())

    made.eventually(missing, seconds=60)
    slow.join()
    assert found["GatewayErrorRate"]["annotations"]["next"].startswith("llm-gateway verify chat")
    assert float(found["GatewayErrorRate"]["value"]) > 0.05
    assert float(found["SpendPerHour"]["value"]) > 10
    assert float(found["GatewayLatencyP95"]["value"]) > 10
    assert all(float(found[of]["value"]) < 0.1 for of in limited)

    credential = metrics.credential().read_text()
    metrics.credential().write_text("sk-nobody")
    eventually(lambda: metrics.firing("GatewayNotScraped", job="llm-gateway"), seconds=20, what="GatewayNotScraped")
    metrics.credential().write_text(credential)
    eventually(lambda: not metrics.firing("GatewayNotScraped"), seconds=20, what="the alert's end")


def limited_keys(made: Home, master: str) -> dict[str, str]:
    """A key with a budget, and one each whose team and user has one; a call costs a thirtieth of it."""
    team = made.api("POST", "/team/new", master, json={"team_alias": "poor", "max_budget": 0.9}).json()["team_id"]
    user = made.api("POST", "/user/new", master, json={"max_budget": 0.9, "auto_create_key": False}).json()["user_id"]
    return {
        "key": made.new_key(master, key_alias="poor", max_budget=0.9),
        "team": made.new_key(master, team_id=team),
        "user": made.new_key(master, user_id=user),
    }


def test_litellm_tells_a_webhook_about_a_spent_budget(metrics: Metrics) -> None:
    key = metrics.home.new_key(metrics.master, key_alias="webhook", max_budget=0.9)

    def told() -> list[dict[str, Any]]:
        for _ in range(5):
            metrics.call(key, "demo-chat")
        return [body for body in metrics.receiver.bodies("/alerts") if body["key_alias"] == "webhook"]

    event = eventually(told, seconds=40, what="an alert at the webhook")[0]
    assert event["event"] in {"threshold_crossed", "budget_crossed"}
    assert (event["event_group"], event["max_budget"]) == ("key", 0.9)
    assert key not in json.dumps(event)


def test_what_breaks_the_metrics_is_told_apart(metrics: Metrics) -> None:
    made = metrics.home
    token = made.values()["LLM_GATEWAY_METRICS_KEY"]
    assert made.api("POST", "/key/delete", metrics.master, json={"keys": [token]}).status_code == 200
    eventually(lambda: made.api("GET", "/metrics/", token).status_code == 401, seconds=15, what="the key's end")
    eventually(lambda: any(one.health == "down" for one in metrics.api.targets()), seconds=15, what="a failed scrape")
    broken = proven(metrics, code=1)
    assert "refuses the key" in broken["cause"]
    assert "llm-gateway seed" in broken["next"]
    assert any(one["outcome"] == "created" for one in made.ask("seed")["data"]["objects"])
    eventually(lambda: all(one.health == "up" for one in metrics.api.targets()), seconds=15, what="a scrape")
    assert proven(metrics)["state"] == "proven"

    supervisor = Supervisor(Paths(made.root))
    supervisor.stop("prometheus")
    dead = proven(metrics, code=1)
    assert "does not run" in dead["text"]
    assert "llm-gateway logs prometheus" in dead["next"]
    with running(Receiver(), port=metrics.port):
        other = proven(metrics, code=1)
    assert "is not Prometheus" in other["text"]
    assert "Another program" in other["cause"]
    supervisor.start("prometheus")
    eventually(lambda: HttpProbe(f"http://127.0.0.1:{metrics.port}/-/ready")() == "", seconds=15, what="Prometheus")
    assert proven(metrics)["state"] == "proven"
