"""What a person is told about tracing: without a server, with the line that adds one, and with keys that it refuses."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from support.home import home
from support.stack import eventually, written

if TYPE_CHECKING:
    from pathlib import Path

    from doubles.langfuse import Langfuse

MODEL = {"model_name": "m", "litellm_params": {"model": "openai/x", "api_key": "none", "mock_response": "hi"}}
FLAGS = ("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false", "LLM_GATEWAY_ENABLE_LANGFUSE=")
LINE = re.compile(r"LANGFUSE_HOST=\S+ LANGFUSE_PUBLIC_KEY=\S+ LANGFUSE_SECRET_KEY=\S+ llm-gateway restart")


def test_the_one_line_adds_tracing_and_keys_that_are_refused_are_said(tmp_path: Path, langfuse: Langfuse) -> None:
    config = written(tmp_path, "c.yaml", {"model_list": [MODEL]})
    with home(*FLAGS, config=config) as made:
        plan = made.run("plan")
        started = made.run("start", "--detach")
        status = made.run("status")
        for said in (plan.stdout, started.stderr, started.stdout, status.stdout):
            assert "Calls are not traced" in said
            (line,) = set(LINE.findall(said))
        assert started.returncode == status.returncode == 0

        def pasted(secret: str) -> subprocess.CompletedProcess[str]:
            """The line in a shell, with a person's values in the places that it leaves open."""
            project = langfuse.projects[0]
            filled = line.replace("https://HOST", langfuse.url).replace("pk-lf-KEY", project.public_key)
            filled = filled.replace("sk-lf-KEY", secret) + " --json"
            path = f"{_command(tmp_path)}:{made.environ['PATH']}"
            shell = ["/bin/sh", "-c", filled]
            return subprocess.run(
                shell, env={**made.environ, "PATH": path}, capture_output=True, text=True, timeout=120, check=False
            )

        wrong = pasted("sk-lf-wrong")
        assert wrong.returncode == 0, wrong.stderr
        assert "refuses the keys" in wrong.stderr
        assert "refuses the keys" in wrong.stdout
        assert "sk-lf-wrong" not in wrong.stdout + wrong.stderr
        right = pasted(langfuse.projects[0].secret_key)
        assert right.returncode == 0, right.stderr
        assert "refuses" not in right.stdout + right.stderr
        key = next(value for name, value in made.values().items() if name == "LITELLM_MASTER_KEY")
        assert made.chat(key, model="m").status_code == 200
        eventually(langfuse.observations, what="the trace")


def _command(folder: Path) -> str:
    """A directory with `llm-gateway` in it."""
    program = folder / "llm-gateway"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m llm_gateway "$@"\n', encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return os.fspath(folder)
