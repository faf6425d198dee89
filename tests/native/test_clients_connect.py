"""`llm-gateway connect` prints things that work: each is executed as a person would."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.stack import Gateway

_REPLY = "Hello from your LLM gateway"
_ASK = (
    "import openai; print(openai.OpenAI().chat.completions.create("
    "model='demo-chat', messages=[{'role': 'user', 'content': 'Hello!'}]).choices[0].message.content)"
)


def _run(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bare(stack: Gateway) -> dict[str, str]:
    """An environment that knows nothing of the gateway."""
    return {name: value for name, value in stack.environment.items() if not name.startswith("LLM_GATEWAY_")}


def _printed(stack: Gateway, form: str) -> str:
    done = stack.run("connect", "--format", form)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_shell(stack: Gateway, bare: dict[str, str]) -> None:
    script = f'{_printed(stack, "shell")}\nexec "$0" -c "$1"'

    assert _REPLY in _run(["bash", "-eu", "-c", script, sys.executable, _ASK], bare)


def test_dotenv(stack: Gateway, bare: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(_printed(stack, "dotenv"), encoding="utf-8")
    variables = {name: value or "" for name, value in dotenv_values(file).items()}

    assert _REPLY in _run([sys.executable, "-c", _ASK], {**bare, **variables})


def test_curl(stack: Gateway, bare: dict[str, str]) -> None:
    line = _printed(stack, "curl").strip()

    assert "\n" not in line
    assert _REPLY in _run(["bash", "-c", line], bare)


def test_python(stack: Gateway, bare: dict[str, str]) -> None:
    assert _REPLY in _run([sys.executable, "-c", _printed(stack, "python")], bare)


def test_json_carries_the_same(stack: Gateway) -> None:
    data = stack.ask("connect")

    assert data["key"] == stack.key
    assert data["base_url"] == f"{stack.url}/v1"
    assert data["model"] == "demo-chat"


def test_the_summarys_curl_line_works_when_pasted(stack: Gateway, bare: dict[str, str]) -> None:
    again = stack.run("start", "--detach")
    assert again.returncode == 0, again.stderr
    (line,) = [line for line in again.stdout.splitlines() if line.startswith("curl ")]

    assert _REPLY in _run(["bash", "-c", line], bare)
