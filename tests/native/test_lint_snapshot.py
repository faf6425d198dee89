"""The snapshot that the lint reads is what the installed LiteLLM says, and that is the pinned one."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "src/llm_gateway/model_config/schema/litellm.json"


def test_snapshot_is_of_the_pin():
    pinned = re.search(r'"litellm\[proxy\]==([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pinned
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8"))["litellm"] == pinned[1] == version("litellm")


def test_snapshot_is_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/snapshot_schema.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"},
    )
    assert done.returncode == 0, done.stderr[-2000:] + "run scripts/snapshot_schema.py"
