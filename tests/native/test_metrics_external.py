"""A Prometheus of the person's own, beside a gateway with one worker and without a database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from doubles.server import running
from support.home import home
from support.prometheus import Prometheus, Receiver, prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.home import Home

pytestmark = pytest.mark.needs("prometheus")
MODEL = {
    "model_name": "demo-chat",
    "litellm_params": {"model": "openai/m", "api_key": "none", "mock_response": "hello"},
}
Pair = tuple["Home", Prometheus, str]


def write(made: Home, **settings: Any) -> None:
    config = {"model_list": [MODEL], "litellm_settings": {"cache": False, **settings}}
    (made.root / "mine.yaml").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The gateway, the Prometheus that PROMETHEUS_URL names, and the master key, which is the only key."""
    flags = ("ENABLE_REDIS=false", "ENABLE_PROMETHEUS=true", "DATABASE=false")
    with prometheus(tmp_path_factory.mktemp("prometheus")) as server:
        variables = [*(f"LLM_GATEWAY_{flag}" for flag in flags), f"PROMETHEUS_URL={server.url}"]
        with home(*variables, config=None) as made:
            write(made)
            made.ask("init")
            master = made.values()["LITELLM_MASTER_KEY"]
            server.start(gateway=made.url, key=master)
            data = made.start("--config", str(made.root / "mine.yaml"))
            assert data["services"]["prometheus"]["where"] == "external"
            yield made, server, master


def outcome(made: Home, code: int) -> dict[str, Any]:
    return dict(made.ask("verify", "metrics", code=code)["data"]["capabilities"][0])


def test_it_is_asked_and_nothing_else_is_started(pair: Pair) -> None:
    made, server, _ = pair
    found = outcome(made, 0)
    assert (found["state"], found["data"]["prometheus"]) == ("proven", server.url)
    states = {one["service"]: one["state"] for one in made.ask("status")["data"]["services"]}
    assert states["prometheus"] == "external"
    assert not (made.state / "prometheus").exists()
    assert "D231  ok" in made.run("doctor").stdout


def test_counters_of_the_one_worker_outlive_a_reload(pair: Pair) -> None:
    made, _, _ = pair
    before = outcome(made, 0)["data"]["after"]
    made.ask("reload")
    assert outcome(made, 0)["data"]["before"] == before


BREAKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "another key": ({"authorization": {"credentials": "sk-nobody"}}, "refuses the key", "LLM_GATEWAY_METRICS_KEY"),
    "another port": ({"static_configs": [{"targets": ["127.0.0.1:1"]}]}, "not where Prometheus looks", "target"),
    "another path": ({"metrics_path": "/nothing-here"}, "Its path is another one", "metrics_path: /metrics/"),
    "another job": ({"job_name": "mine"}, "has no job llm-gateway", "docs/metrics.md"),
    "a metric dropped": (
        {"metric_relabel_configs": [{"source_labels": ["route"], "regex": "/engines.*", "action": "drop"}]},
        "its configuration drops",
        "logs prometheus",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_is_wrong_with_its_configuration_is_told_apart(pair: Pair, case: str) -> None:
    made, server, master = pair
    wrong, cause, mend = BREAKS[case]
    server.start(gateway=made.url, key=master, **wrong)
    found = outcome(made, 1)
    assert cause in found["cause"]
    assert mend in found["next"]
    assert master not in json.dumps(found)


def test_a_dead_one_and_a_wrong_address_are_told_apart(pair: Pair) -> None:
    made, server, master = pair
    server.stop()
    dead = outcome(made, 1)
    assert "nothing answers" in dead["text"]
    assert "PROMETHEUS_URL" in dead["next"]
    assert "D231  error" in made.run("doctor").stdout
    with running(Receiver(), port=server.port):
        assert "is not Prometheus" in outcome(made, 1)["text"]
    server.start(gateway=made.url, key=master)
    assert outcome(made, 0)["state"] == "proven"


def test_a_config_that_does_not_count_is_told(pair: Pair) -> None:
    made, _, _ = pair
    write(made, callbacks=["prometheus"], prometheus_exclude_metrics=["litellm_proxy_total_requests_metric"])
    made.ask("reload")
    found = outcome(made, 1)
    assert "the gateway counted 0" in found["text"]
    assert "llm-gateway reload" in found["next"]
    write(made)
    made.ask("reload")
    assert outcome(made, 0)["state"] == "proven"
