"""Telemetry is off in every environment that the kit makes; docs/telemetry.md is the list."""

import re
from pathlib import Path

from llm_gateway.bootstrap.mirrors import npm_environment
from llm_gateway.gateway.environment import quiet_environment

SOURCE = Path(__file__).resolve().parents[2] / "src/llm_gateway"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/telemetry.md"


def test_the_gateways_processes_send_and_fetch_nothing_by_themselves():
    quiet = quiet_environment()
    assert {quiet["CHECKPOINT_DISABLE"], quiet["DO_NOT_TRACK"]} == {"1"}
    local = [name for name in quiet if name.startswith("LITELLM_LOCAL_")]
    assert {quiet[name] for name in local} == {"True"}
    # Every such switch that the pinned LiteLLM knows.
    import litellm

    text = "".join(path.read_text(encoding="utf-8") for path in Path(litellm.__file__).parent.rglob("*.py"))
    assert set(re.findall(r"LITELLM_LOCAL_[A-Z_]+(?<!_)", text)) - {"LITELLM_LOCAL_"} <= set(local)


def test_npm_and_prisma_are_quiet():
    npm = npm_environment({})
    assert {npm[f"npm_config_{name}"] for name in ("update_notifier", "fund", "audit")} == {"false"}
    for name in ("prisma_wasm/client.py", "prisma_wasm/runtime.py"):
        assert '"CHECKPOINT_DISABLE": "1"' in (SOURCE / name).read_text(encoding="utf-8")
    assert "suffix_list_urls=()" in (SOURCE / "presidio_server/analyzer.py").read_text(encoding="utf-8")


def test_the_document_names_every_switch():
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in ("CHECKPOINT_DISABLE", "DO_NOT_TRACK", "TELEMETRY_ENABLED", "npm_config_update_notifier", "tldextract"):
        assert name in text
