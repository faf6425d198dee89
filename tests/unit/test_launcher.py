"""The launcher's parts that need no process."""

from __future__ import annotations

import json
import time
import tomllib
from importlib.metadata import version
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from llm_gateway.errors import GatewayError, InputError
from llm_gateway.gateway import control, environment, nursery, options, proxy_setup
from llm_gateway.gateway.messages import Lines, encode, one_line
from llm_gateway.gateway.preload import Backoff

GIB = 1024**3
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Some of these import LiteLLM, which would look for its price map on the network."""
    for name, value in environment.quiet_environment().items():
        monkeypatch.setenv(name, value)


def test_the_recorded_lazy_modules_belong_to_the_pinned_version():
    recorded = json.loads(nursery.LAZY_MODULES.read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"litellm[proxy]=={recorded['litellm']}" in project["project"]["dependencies"]
    assert recorded["litellm"] == version("litellm"), "run scripts/record_lazy_modules.py"
    assert len(nursery.lazy_modules()) > 300


def test_lazy_modules_of_another_version_are_not_used(tmp_path, monkeypatch):
    other = tmp_path / "lazy.json"
    other.write_text(json.dumps({"litellm": "0.0.1", "modules": ["antigravity"]}))
    monkeypatch.setattr(nursery, "LAZY_MODULES", other)
    assert nursery.lazy_modules() == []


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [(1, 8 * GIB, 1), (2, 8 * GIB, 2), (2, 1 * GIB, 1), (4, 2 * GIB, 2), (16, 4 * GIB, 5), (64, 256 * GIB, 8)],
)
def test_workers_default(cores, memory, workers):
    assert environment.workers_default(cores, memory) == workers


@pytest.mark.parametrize(("workers", "limit"), [(1, 10), (4, 10), (8, 5), (16, 3)])
def test_connection_limit_shares_the_server(workers, limit):
    assert proxy_setup.connection_limit(workers) == limit


def test_worker_config_has_the_defaults_of_litellms_command_line(tmp_path):
    settings = options.WorkerSettings(
        config="/c.yaml", workers=1, debug=False, detailed_debug=True, graceful_timeout=4, drain_timeout=600
    )
    told = json.loads(proxy_setup.worker_config(settings))
    assert told["drop_params"] is False
    assert told["add_function_to_prompt"] is False
    assert (told["debug"], told["detailed_debug"]) == (False, True)
    assert options.WorkerSettings.from_json(settings.as_json()) == settings


def test_warnings_name_what_has_no_effect():
    sections = proxy_setup.ConfigSections(general={"database_url": "os.environ/X"}, litellm={})
    lines = proxy_setup.warnings(sections, {"IAM_TOKEN_DB_AUTH": "true", "USE_AWS_KMS": "False"})
    assert len(lines) == 2
    assert any("general_settings.database_url" in line for line in lines)
    assert proxy_setup.warnings(proxy_setup.ConfigSections(general={}, litellm={}), {}) == []


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_a_plain_database_url_gets_the_defaults():
    completed = proxy_setup.database_url("postgresql://u:p%40@h:5432/d", {}, workers=2)
    assert completed.startswith("postgresql://u:p%40@h:5432/d?")
    assert query(completed) == {
        "connection_limit": "10",
        "pool_timeout": "60",
        "max_idle_connection_lifetime": "60",
    }


def test_what_a_person_wrote_into_the_url_stays():
    completed = proxy_setup.database_url("postgresql://u@h/d?connection_limit=33&schema=s", {}, workers=2)
    assert query(completed)["connection_limit"] == "33"
    assert query(completed)["schema"] == "s"


def test_the_config_wins_over_the_url_of_the_writer_and_not_of_a_replica():
    general = {"database_connection_pool_limit": 7, "database_statement_timeout": 2.5}
    url = "postgresql://u@h/d?connection_limit=33"
    assert query(proxy_setup.database_url(url, general, workers=2))["connection_limit"] == "7"
    assert query(proxy_setup.database_url(url, general, workers=2))["options"] == "-c statement_timeout=2500"
    assert query(proxy_setup.database_url(url, general, workers=2, replica=True))["connection_limit"] == "33"


def test_libpq_tls_becomes_prismas():
    completed = query(proxy_setup.database_url("postgresql://u@h/d?sslmode=verify-full", {}, workers=1))
    assert (completed["sslmode"], completed["sslaccept"]) == ("require", "strict")


def test_backoff_is_instant_once_then_grows_then_forgets():
    backoff = Backoff()
    backoff.died(lived=0.1)
    assert backoff.not_before <= time.monotonic()
    for _ in range(3):
        backoff.died(lived=0.1)
    assert backoff.not_before > time.monotonic() + 0.2
    for _ in range(20):
        backoff.died(lived=0.1)
    assert backoff.not_before <= time.monotonic() + 10
    backoff.died(lived=3600)
    assert backoff.not_before <= time.monotonic()


def test_messages_come_out_whole_however_they_are_cut():
    lines = Lines()
    stream = encode({"a": 1}) + encode({"b": "ü\n"})
    found = [message for byte in stream for message in lines.feed(bytes([byte]))]
    assert found == [{"a": 1}, {"b": "ü\n"}]
    with pytest.raises(ValueError, match="not a JSON object"):
        lines.feed(b"[]\n")


def test_an_exception_becomes_one_short_line():
    assert one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert one_line(KeyError()) == "KeyError"
    assert len(one_line(ValueError("x" * 5000))) == 600


def test_no_workers_is_bad_input(tmp_path):
    config = tmp_path / "c.yaml"
    config.touch()
    with pytest.raises(InputError) as caught:
        options.parse(["--config", str(config), "--control", "s", "--workers", "0"])
    assert caught.value.problem.code == "E502"


def test_asking_nobody_is_an_error_with_a_next_step(tmp_path):
    with pytest.raises(GatewayError) as caught:
        control.ask(tmp_path / "no.sock")
    assert caught.value.problem.code == "E507"


def launch(tmp_path: Path, environ: dict[str, str], *arguments: str) -> dict[str, str]:
    config = tmp_path / "c.yaml"
    config.touch()
    given = options.parse(["--config", str(config), "--control", str(tmp_path / "run" / "s"), *arguments])
    return environment.launch_environment(environ, given)


def test_the_launchers_environment_is_quiet_and_the_caller_wins(tmp_path):
    made = launch(
        tmp_path,
        {"LITELLM_MODE": "DEV", "PYTHONDONTWRITEBYTECODE": "1", "CONFIG_FILE_PATH": "/other"},
        "--log-level",
        "error",
    )
    assert made["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert made["LITELLM_MODE"] == "DEV"
    assert made["LITELLM_LOG"] == "ERROR"
    assert not {"PYTHONDONTWRITEBYTECODE", "CONFIG_FILE_PATH", "PROMETHEUS_MULTIPROC_DIR"} & set(made)


def test_only_samples_are_removed_from_a_persons_directory(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "counter_12.db").touch()
    (own / "litellm_admitted_series_x").touch()
    (own / "letter.txt").touch()
    made = launch(tmp_path, {"PROMETHEUS_MULTIPROC_DIR": str(own)}, "--workers", "2")
    assert made["PROMETHEUS_MULTIPROC_DIR"] == str(own)
    assert [file.name for file in own.iterdir()] == ["letter.txt"]


def test_no_proxy_is_completed_in_both_spellings():
    made = environment.network_environment(
        {"NO_PROXY": "intra.example, localhost", "no_proxy": ".corp"}, local_hosts=["db.local"]
    )
    assert made["NO_PROXY"] == made["no_proxy"]
    assert made["NO_PROXY"].split(",") == [".corp", "intra.example", "localhost", "127.0.0.1", "::1", "db.local"]


def test_a_no_proxy_of_everything_stays():
    assert environment.network_environment({"NO_PROXY": "*"}) == {}


def test_one_bundle_serves_every_client():
    made = environment.network_environment({"NO_PROXY": "*", "CURL_CA_BUNDLE": "/ca.pem"})
    assert made == dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), "/ca.pem")
