"""The command: exit codes, formats, JSON, --fix, the table of models, and how it knows the machine."""

import json
import subprocess
import sys

import pytest

from llm_gateway.discovery import Findings
from llm_gateway.model_config.lint.context import PROVIDED
from llm_gateway.progress import Progress
from llm_gateway.services.base import Draft, Placement
from llm_gateway.services.registry import SERVICES
from llm_gateway.verbs.context import open_context
from llm_gateway.verbs.lint import models, situation
from support.lint_cases import MODEL, context, settings

MACHINE = Findings(
    system="Linux", machine="x86_64", python="3.11.7", cores=2, memory=8 * 1024**3, disk_free=10**11, is_root=False,
    service_user="",
)  # fmt: skip


def run(*arguments, folder, env=None):
    import os

    return subprocess.run(
        [sys.executable, "-m", "llm_gateway", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LLM_GATEWAY_HOME": str(folder / "home"), "OPENAI_API_KEY": "set", **(env or {})},
    )


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.yaml").write_text(MODEL)
    (tmp_path / "warn.yaml").write_text(settings("drop_parms: true"))
    (tmp_path / "bad.yaml").write_text(settings("callbacks: [langfus]"))
    (tmp_path / "broken.yaml").write_text("a: [")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "code"),
    [(["good"], 0), (["warn"], 0), (["bad"], 1), (["broken"], 2), (["good", "bad"], 1), (["bad", "broken", "good"], 2)],
)
def test_exit_codes(files, names, code):
    done = run("lint", *(f"{name}.yaml" for name in names), folder=files)
    assert (done.returncode, done.stderr) == (code, "")


def test_json(files):
    done = run("lint", "bad.yaml", "--json", folder=files)
    envelope = json.loads(done.stdout)
    (finding,) = envelope["data"]["findings"]
    assert envelope["ok"] is False
    assert {k: finding[k] for k in ("id", "severity", "file", "line", "column", "fixable")} == {
        "id": "C044", "severity": "error", "file": "bad.yaml", "line": 5, "column": 15, "fixable": False,
    }  # fmt: skip
    assert envelope["data"]["counts"] == {"error": 1, "warning": 0, "info": 0}


def test_github(files):
    done = run("lint", "bad.yaml", "--format", "github", folder=files)
    assert done.stdout.startswith("::error file=bad.yaml,line=5,col=15,title=C044::")
    assert done.stdout.count("\n") == 1


def test_fix_shows_the_diff_and_writes(files):
    (files / "fix.yaml").write_text(settings("success_callback: [langfuse, langfuse]"))
    done = run("lint", "fix.yaml", "--fix", folder=files)
    assert "-  success_callback: [langfuse, langfuse]\n+  success_callback: [langfuse]\n" in done.stderr
    assert (files / "fix.yaml").read_text() == settings("success_callback: [langfuse]")
    assert "C039" not in done.stdout


def test_variables_of_the_home_count_and_are_not_shown(files):
    (files / "home/state").mkdir(parents=True)
    (files / "home/state/.env").write_text("LITELLM_MASTER_KEY=sk-1234\nSOME_KEY=filled-in\n")
    (files / "own.yaml").write_text(MODEL.replace("OPENAI_API_KEY", "SOME_KEY"))
    done = run("lint", "own.yaml", folder=files)
    assert done.returncode == 1
    assert "C034" in done.stdout
    assert "C030" not in done.stdout
    assert "filled-in" not in done.stdout
    assert "sk-1234" not in done.stdout


def test_it_never_imports_litellm(files):
    code = (
        "import sys; from llm_gateway.verbs.lint import lint; lint(sys.argv[1:]).result();"
        "print([name for name in ('litellm', 'pydantic', 'ruamel', 'httpx', 'psutil') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(files / "bad.yaml")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_start_provides_is_what_the_services_write():
    services = {service.id: service for service in SERVICES}
    here = open_context({}, progress=Progress(quiet=True), environ={"LLM_GATEWAY_HOME": "/nowhere"})
    draft = Draft(
        here.home,
        here.choices,
        here.environment,
        MACHINE,
        ports={port.setting: here.choices.number(port.setting) for service in SERVICES for port in service.ports},
        placements={service.id: Placement("native", "") for service in SERVICES},
    )
    for id_, names in PROVIDED.items():
        written = {line.name for line in services[id_].environment(draft)}
        assert set(names) <= written, id_


def test_situation_follows_options_and_proxies(tmp_path):
    environ = {
        "LLM_GATEWAY_HOME": str(tmp_path),
        "LLM_GATEWAY_ENABLE_PRESIDIO": "true",
        "LLM_GATEWAY_DATABASE": "false",
        "LLM_GATEWAY_BIND": "0.0.0.0",
        "HTTPS_PROXY": "http://upper:1",
        "https_proxy": "http://lower:1",
        "NO_PROXY": "a.example",
        "REDIS_PASSWORD": "",
    }
    known = situation(environ)
    assert "presidio" in known.enabled
    assert "postgres" not in known.enabled
    assert (known.database, known.loopback) == (False, False)
    assert known.proxies == {"https": "http://lower:1", "no": "a.example"}
    assert known.is_named("REDIS_PASSWORD")
    assert known.packages is not None
    assert known.packages["litellm"]


def test_table_of_models(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        MODEL
        + "  - model_name: own\n    litellm_params:\n      model: hosted_vllm/own\n      api_base: http://user:secret@gpu:8000\n"
        "      api_key: os.environ/NOT_THERE\n      rpm: 10\n"
    )
    result = models(str(path), context())
    chat, own = result.data["models"]
    assert chat == {
        "name": "chat", "model": "openai/gpt-4o-mini", "provider": "openai", "endpoint": "", "mode": "chat",
        "price_known": True, "key": "OPENAI_API_KEY set", "limits": {},
    }  # fmt: skip
    assert own["provider"] == "hosted_vllm"
    assert own["endpoint"] == "http://***@gpu:8000"
    assert own["key"] == "NOT_THERE not set"
    assert own["price_known"] is False
    assert own["limits"] == {"rpm": 10}
    assert "secret" not in result.text
    assert [line.split()[0] for line in result.text.splitlines()] == ["name", "chat", "own"]


def test_models_of_an_unusable_file(tmp_path):
    assert models(str(tmp_path), context()).exit_code == 2


def test_a_fix_that_cannot_be_written_is_said(files):
    text = settings("success_callback: [langfuse, langfuse]\nnum_retries: 1\nnum_retries: 2")
    (files / "twice.yaml").write_text(text)
    done = run("lint", "twice.yaml", "--fix", folder=files)
    assert "by hand" in done.stderr
    assert (files / "twice.yaml").read_text() == text
