"""Prometheus' room from plans alone, its alert rules with promtool, and the numbers under which workers count."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from llm_gateway.errors import InputError, PreconditionError
from llm_gateway.gateway import samples
from llm_gateway.resources import resource
from llm_gateway.services import prometheus, wiring
from llm_gateway.services.prometheus_api import seconds
from llm_gateway.services.registry import BY_ID
from llm_gateway.services.wiring import notes
from support.prometheus import promtool
from unit.test_plan import MACHINE, lines, made
from unit.test_wiring import stack_for

ON = {"enable_prometheus": "true"}
FOUND = replace(MACHINE, prometheus_server=Path("/usr/bin/prometheus"))
OWN = {"PROMETHEUS_URL": "http://metrics.example:9090"}
RULES = resource("configs") / "observability" / "alerts.yaml"
EXAMPLES = Path(__file__).parents[1] / "fixtures" / "observability" / "alerts_test.yaml"


def wired(tmp_path, config, **given):
    return stack_for(tmp_path, config, flags={**ON, **given.pop("flags", {})}, findings=FOUND, **given)


def test_it_is_off_unless_asked_for_and_leaves_no_trace_then(tmp_path):
    stack = stack_for(tmp_path, {}, findings=FOUND)
    assert stack.placements["prometheus"].where == "off"
    assert not {"PROMETHEUS_URL", "LLM_GATEWAY_METRICS_KEY"} & set(lines(stack))
    assert BY_ID["prometheus"].gateway_settings(stack, {}) == ()
    assert BY_ID["prometheus"].gateway_variables(stack) == {}


def test_where_there_is_none_the_start_stops_with_the_line_that_adds_it():
    with pytest.raises(PreconditionError) as refused:
        made(flags=ON)
    assert refused.value.problem.code == "E302"
    assert "apt-get install prometheus" in refused.value.problem.next


def test_the_machines_own_listens_on_loopback_only_and_keeps_fifteen_days(tmp_path):
    stack = wired(tmp_path, {})
    assert stack.placements["prometheus"].where == "native"
    (process,) = BY_ID["prometheus"].processes(stack)
    assert process.argv[0] == "/usr/bin/prometheus"
    assert {"--web.listen-address=127.0.0.1:9090", "--storage.tsdb.retention.time=15d"} <= set(process.argv)
    assert lines(stack)["PROMETHEUS_URL"] == "http://localhost:9090"
    longer = wired(tmp_path, {}, flags={"prometheus_days": "30", "prometheus_port": "19090"})
    assert "--storage.tsdb.retention.time=30d" in BY_ID["prometheus"].processes(longer)[0].argv
    assert lines(longer)["PROMETHEUS_URL"] == "http://localhost:19090"


def test_ones_own_is_used_and_the_address_of_one_that_does_not_run_is_hidden(tmp_path):
    stack = wired(tmp_path, {}, process=OWN)
    assert stack.placements["prometheus"].where == "external"
    assert prometheus.url(stack) == OWN["PROMETHEUS_URL"]
    off = stack_for(tmp_path, {}, process={"PROMETHEUS_URL": "http://localhost:9090"}, rendered=("PROMETHEUS_URL",))
    assert BY_ID["prometheus"].hidden(off) == ("PROMETHEUS_URL",)
    theirs = stack_for(tmp_path, {}, process=OWN)
    assert BY_ID["prometheus"].hidden(theirs) == BY_ID["prometheus"].hidden(stack) == ()


@pytest.mark.parametrize("url", ["metrics.example:9090", "ftp://metrics.example", "http://"])
def test_an_address_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(InputError) as refused:
        made(flags=ON, process={"PROMETHEUS_URL": url.replace("metrics", "me:secret-word@metrics")})
    assert refused.value.problem.code == "E350"
    assert "secret-word" not in str(refused.value.problem)


def test_calls_are_counted_without_a_series_for_each_address(tmp_path):
    section = wiring.effective_config(wired(tmp_path, {"litellm_settings": {"callbacks": ["mine.handler"]}}))[0]
    assert section["litellm_settings"]["callbacks"] == ["mine.handler", "prometheus"]
    assert section["litellm_settings"]["prometheus_exclude_labels"] == ["client_ip", "user_agent"]


@pytest.mark.parametrize("name", ["callbacks", "success_callback"])
def test_a_file_that_names_the_callback_keeps_its_way(tmp_path, name):
    said = {name: ["prometheus"], "prometheus_exclude_labels": []}
    assert wiring.effective_config(wired(tmp_path, {"litellm_settings": said}))[0]["litellm_settings"] == said


def test_one_worker_shares_its_samples_with_the_next_one_where_somebody_counts(tmp_path):
    folder = "/home/someone/gateway/state/run/prometheus"
    variables = BY_ID["prometheus"].gateway_variables
    assert variables(wired(tmp_path, {})) == {"PROMETHEUS_MULTIPROC_DIR": folder}
    counting = {"litellm_settings": {"callbacks": ["prometheus"]}}
    assert variables(stack_for(tmp_path, counting)) == {"PROMETHEUS_MULTIPROC_DIR": folder}
    assert variables(wired(tmp_path, {}, process={"PROMETHEUS_MULTIPROC_DIR": "/mine"})) == {}


def test_as_is_a_prometheus_that_counts_nothing_is_said(tmp_path):
    assert any("no callback names prometheus" in note for note in notes(wired(tmp_path, {}, flags={"as_is": "true"})))


def test_without_a_database_the_master_key_reads_the_metrics(tmp_path):
    with_keys = wired(tmp_path, {}, flags={"database": "true"})
    (target,) = BY_ID["gateway"].scrape_targets(with_keys)
    assert (target.url, target.credential) == ("http://127.0.0.1:4000/metrics/", "drawn-LLM_GATEWAY_METRICS_KEY")
    (target,) = BY_ID["gateway"].scrape_targets(wired(tmp_path, {}))
    assert target.credential == "drawn-LITELLM_MASTER_KEY"
    assert "drawn" not in repr(target)


@pytest.mark.needs("prometheus")
def test_promtool_takes_the_configuration_and_the_rules_and_finds_no_credential_in_them(tmp_path):
    stack = wired(tmp_path, {})
    config = prometheus.scrape_config(stack)
    assert "drawn" not in yaml.safe_dump(config)
    credential = tmp_path / "credential"
    credential.write_text("x")
    config["rule_files"] = [str(RULES)]
    config["scrape_configs"][1]["authorization"]["credentials_file"] = str(credential)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    assert "SUCCESS" in promtool("check", "config", str(tmp_path / "prometheus.yml"))


@pytest.mark.needs("prometheus")
def test_each_alert_fires_when_it_should_and_only_then(tmp_path):
    examples = tmp_path / "alerts_test.yaml"
    examples.write_text(EXAMPLES.read_text().replace("RULES", str(RULES)))
    promtool("test", "rules", str(examples))
    tried = {
        one["alertname"] for test in yaml.safe_load(EXAMPLES.read_text())["tests"] for one in test["alert_rule_test"]
    }
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert tried == {rule["alert"] for rule in rules if "alert" in rule}


@pytest.mark.parametrize(
    ("text", "number"), [("5s", 5), ("1m30s", 90), ("15d", 1296000), ("2w1d", 1296000), ("250ms", 0.25)]
)
def test_durations(text, number):
    assert seconds(text) == number


# The numbers under which workers keep their samples


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(samples.VARIABLE, str(tmp_path))
    return tmp_path


def in_child(work):
    """Run `work` in a forked process; gives what it returns, and a function that kills the process."""
    answer, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(say, work().encode())
        signal.pause()
    os.close(say)
    said = os.read(answer, 100).decode()
    os.close(answer)

    def end():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    return said, end


def number():
    samples.take_number()
    return samples._name


def test_living_processes_have_different_numbers_and_a_dead_ones_is_taken_over(folder):
    first, end_first = in_child(number)
    second, end_second = in_child(number)
    assert (first, second) == ("worker-1", "worker-2")
    end_first()
    third, end_third = in_child(number)
    assert third == "worker-1"
    end_second()
    end_third()


def test_the_live_gauges_of_the_dead_go_and_counters_stay(folder):
    _, end_first = in_child(number)
    _, end_second = in_child(number)
    for kind in ("counter", "gauge_mostrecent", "gauge_livesum", "gauge_liveall"):
        for name in ("worker-1", "worker-2"):
            (folder / f"{kind}_{name}.db").touch()
    end_first()
    samples.forget_dead(folder)
    left = {file.name for file in folder.glob("*.db")}
    assert {"counter_worker-1.db", "gauge_mostrecent_worker-1.db", "gauge_livesum_worker-2.db"} <= left
    assert not {"gauge_livesum_worker-1.db", "gauge_liveall_worker-1.db"} & left
    end_second()
