"""The starter configs as files: what they promise, and that their commented samples are right too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from llm_gateway.resources import resource

if TYPE_CHECKING:
    from pathlib import Path

CONFIGS = sorted(resource("configs").glob("model-config-*.yaml"))
_SAMPLE = re.compile(r"^(\s*)# (\s*(?:- )?[\w-]+:(?: .*)?)$")


def with_samples(path: Path) -> dict[str, Any]:
    """The config with every commented sample switched on. Of two alternatives the later one wins."""
    lines = path.read_text(encoding="utf-8").splitlines()
    value: dict[str, Any] = yaml.safe_load("\n".join(_SAMPLE.sub(r"\1\2", line) for line in lines))
    return value


def load(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return value


def test_the_six_of_them_are_there() -> None:
    names = {path.stem.removeprefix("model-config-") for path in CONFIGS}

    assert names == {"demo", "openai", "bedrock", "local", "ollama", "production"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_key_stands_in_the_file(path: Path) -> None:
    for model in load(path)["model_list"]:
        key = model["litellm_params"].get("api_key", "none")
        assert key == "none" or key.startswith("os.environ/")
    general = load(path).get("general_settings") or {}
    assert not {"master_key", "salt_key", "database_url"} & set(general)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_mode_stands_where_it_is_not_sent_to_the_provider(path: Path) -> None:
    for model in load(path)["model_list"]:
        assert "mode" not in model["litellm_params"]
        if "embed" in str(model) or model["model_name"] in {"bge", "bge-m3", "kserve/gte-large/v1"}:
            assert model["model_info"]["mode"] == "embedding"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_samples_fit_the_file(path: Path) -> None:
    config = with_samples(path)
    if path.stem == "model-config-demo":
        assert config == load(path)
        return

    names = {model["model_name"] for model in config["model_list"]}
    cache = config["litellm_settings"]["cache_params"]
    assert cache["type"] == "redis-semantic"
    assert 0 < cache["similarity_threshold"] <= 1
    assert cache["redis_semantic_cache_embedding_model"] in names
    assert config["litellm_settings"]["success_callback"] == ["langfuse"]
    guardrail = config["guardrails"][0]["litellm_params"]
    assert guardrail["guardrail"] == "presidio"
    assert set(guardrail["pii_entities_config"].values()) == {"MASK"}


def test_ollama_is_reached_without_v1() -> None:
    for model in load(resource("configs") / "model-config-ollama.yaml")["model_list"]:
        assert model["litellm_params"]["api_base"] == "http://localhost:11434"


def test_bedrock_has_no_credentials_but_the_profiles() -> None:
    for model in with_samples(resource("configs") / "model-config-bedrock.yaml")["model_list"]:
        assert not {"aws_access_key_id", "aws_secret_access_key", "api_key"} & set(model["litellm_params"])
        assert model["litellm_params"]["aws_region_name"]


def test_production_has_every_budget_with_its_duration_and_fallbacks_that_exist() -> None:
    config = load(resource("configs") / "model-config-production.yaml")
    names = {model["model_name"] for model in config["model_list"]}
    settings = config["litellm_settings"]

    assert settings["max_budget"] >= 1  # dollars; seed 003 took them for cents
    assert settings["budget_duration"]
    # max_end_user_budget of seed 003 is read by nobody in LiteLLM 1.106.2.
    assert "max_end_user_budget" not in settings
    assert settings["max_end_user_budget_id"] == "llm-gateway-budget"
    for kind in ("fallbacks", "context_window_fallbacks"):
        for entry in config["router_settings"][kind]:
            assert {name for pair in entry.items() for name in (pair[0], *pair[1])} <= names
