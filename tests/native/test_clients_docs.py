"""The snippets of docs/connect.md, run as they stand on the page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.stack import Gateway

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "connect.md"
_SNIPPET = re.compile(r"(?:<!-- snippet: ([\w-]+) -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
_REPLY = "Hello from your LLM gateway"
_NODE_PACKAGE = "openai@6.49.0"
# What each snippet must print, as regular expressions.
_EXPECTED = {
    "curl-chat": [_REPLY],
    "curl-stream": [r'data: \{.*"Hel"', r"data: \[DONE\]"],
    "curl-embeddings": [r'"embedding": ?\[0\.1'],
    "python-openai": [rf"{_REPLY}[\s\S]*{_REPLY}", "4 numbers"],
    "langchain-openai": [rf"{_REPLY}[\s\S]*{_REPLY}", "4 numbers"],
    "langchain-litellm": [rf"{_REPLY}[\s\S]*{_REPLY}"],
    "litellm": [_REPLY, "4 numbers"],
    "node-openai": [rf"{_REPLY}[\s\S]*{_REPLY}", "4 numbers"],
    "curl-anthropic": [r'"type": ?"message"', _REPLY],
    "curl-key": [r'"key": ?"sk-'],
    "curl-customer": [r'"user_id": ?"hyper-user"'],
}


def _snippets() -> dict[str, tuple[str, str]]:
    """Language and code by name; what is only shown (console) has none."""
    blocks = _SNIPPET.findall(_PAGE.read_text(encoding="utf-8"))
    return {name: (language, code) for name, language, code in blocks if language != "console"}


def test_every_snippet_of_the_page_is_run() -> None:
    assert set(_snippets()) == set(_EXPECTED)


@pytest.fixture
def environment(stack: Gateway, tmp_path: Path) -> dict[str, str]:
    """A shell after `eval "$(llm-gateway connect)"`, with the command on PATH."""
    program = tmp_path / "bin" / "llm-gateway"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m llm_gateway "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    # As `connect --format shell` exports them, which test_clients_connect.py proves.
    data = stack.ask("connect")
    path = f"{program.parent}:{stack.environment['PATH']}"
    return {**stack.environment, "PATH": path, "OPENAI_BASE_URL": data["base_url"], "OPENAI_API_KEY": data["key"]}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.needs("node") if "node" in name else ()) for name in _EXPECTED]
)
def test_snippet(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    language, code = _snippets()[name]
    if language == "javascript":
        (tmp_path / "hello.mjs").write_text(code, encoding="utf-8")
        npm = [shutil.which("npm") or "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", _NODE_PACKAGE]
        subprocess.run(npm, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
        command = ["node", "hello.mjs"]
    else:
        command = {"bash": ["bash", "-eu", "-c", code], "python": [sys.executable, "-c", code]}[language]

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    for pattern in _EXPECTED[name]:
        assert re.search(pattern, done.stdout), done.stdout
