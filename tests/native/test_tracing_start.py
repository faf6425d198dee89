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
            assert "calls are not traced" in said
            (line,) = set(LINE.findall(said))
        assert started.returncode == status.returncode == 0

        # The line in a shell, with a person's values in the places that it leaves open; the secret is a wrong one.
        filled = line.replace("https://HOST", langfuse.url).replace("pk-lf-KEY", langfuse.projects[0].public_key)
        environ = {**made.environ, "PATH": f"{_command(tmp_path)}:{made.environ['PATH']}"}
        done = subprocess.run(
            ["/bin/sh", "-c", filled], env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        (said,) = [line for line in done.stderr.splitlines() if "refuses the keys" in line]
        assert "API Keys" in said
        assert "sk-lf-KEY" not in done.stdout + done.stderr
        # It traces there, and says that it is in vain; nothing is stopped.
        assert "external" in made.run("status").stdout
        assert made.chat(made.values()["LITELLM_MASTER_KEY"], model="m").status_code == 200
        eventually(lambda: langfuse.bodies("/api/public/otel/v1/traces"), what="the trace's arrival")


def _command(folder: Path) -> str:
    """A directory with `llm-gateway` in it."""
    program = folder / "llm-gateway"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m llm_gateway "$@"\n', encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return os.fspath(folder)
