"""The configs of the documents that this project came from: each known mistake is explained, at its line."""

from pathlib import Path

import pytest

from llm_gateway.model_config.lint.run import lint_file
from support.lint_cases import context

SEEDS = Path(__file__).resolve().parents[2] / "fixtures/seeds"
LAGO = {"LAGO_API_KEY": "k", "LAGO_API_BASE": "http://lago", "LAGO_API_EVENT_CODE": "calls"}
# What each document does around its config: variables, a proxy, a key in .env.
SITUATIONS = {
    "000_lago": {},
    "000_lago, as its report": {"variables": LAGO},
    "001_chart": {},
    "001_template": {},
    "001_values": {},
    "001_deployment": {},
    "002_models": {
        "variables": {"LITELLM_SALT_KEY": "sk-1234"},
        "proxies": {"http": "http://127.0.0.1:7890", "https": "http://127.0.0.1:7890"},
    },
    "002_compose": {},
    "003_budgets": {},
    "003_tabs": {},
    "003_mount": {},
    "004_feature": {"variables": {"LITELLM_MASTER_KEY": "sk-password"}},
    "004_feature, others reach it": {"variables": {"LITELLM_MASTER_KEY": "sk-password"}, "loopback": False},
    "004_feature, with the kit's Redis": {
        "variables": {"LITELLM_MASTER_KEY": "sk-password"},
        "enabled": frozenset({"gateway", "redis"}),
    },
}
# The mistake in words, and the finding: id, severity, and what its message, reason or remedy must say.
MISTAKES = [
    ("000_lago", "a variable that LiteLLM's logger does not read", "C076", "error", "LAGO_API_EVENT_CODE"),
    ("000_lago", "nobody to charge", "C077", "error", "is empty"),
    ("000_lago", "the API's path twice", "C078", "error", "http://localhost:3010"),
    ("000_lago", "a variable that is not set", "C030", "warning", "LAGO_KEY"),
    ("000_lago", "a model of one's own that nobody has priced", "C053", "warning", "gte-large"),
    ("000_lago, as its report", "External Customer ID is not set", "C082", "info", "External Customer ID is not set"),
    ("001_chart", "keys that do not line up", "C005", "error", "mapping values are not allowed"),
    ("001_template", "a template that is no YAML before it is rendered", "C005", "error", "not valid YAML"),
    ("001_values", "Helm values in the place of a config", "C018", "error", "Helm values"),
    ("001_values", "a password in an address", "C032", "warning", "databaseUrl"),
    ("001_deployment", "a manifest in the place of a config", "C018", "error", "no section of a model config"),
    ("002_models", "a key that LiteLLM refuses", "C034", "error", "refuses to start"),
    ("002_models", "a salt that everybody knows", "C037", "warning", "LITELLM_SALT_KEY"),
    ("002_models", "Ollama's other API", "C051", "error", "http://127.0.0.1:11434"),
    ("002_models", "Langfuse's keys in the shell only", "C070", "warning", "LANGFUSE_PUBLIC_KEY"),
    ("002_models", "traces to the cloud", "C071", "warning", "cloud"),
    ("002_models", "a proxy before the private network", "C095", "warning", "172.16.33.66"),
    ("002_compose", "a Compose file in the place of a config", "C018", "error", "a Compose file"),
    ("002_compose", "a Langfuse that cannot receive traces", "C073", "error", "version 2"),
    ("003_budgets", "a placeholder for a name", "C056", "warning", "<model_name>"),
    ("003_budgets", "a placeholder for a key", "C056", "warning", "<actual_api_key>"),
    ("003_budgets", "mode among the parameters", "C050", "warning", "model_info"),
    ("003_budgets", "a salt that LiteLLM does not read", "C033", "warning", "LITELLM_SALT_KEY"),
    ("003_budgets", "a master key made of words", "C034", "warning", "words"),
    ("003_budgets", "a password in an address", "C032", "warning", "database_url"),
    ("003_budgets", "a database that is not the kit's", "C038", "info", "DATABASE_URL"),
    ("003_budgets", "dollars taken for cents", "C092", "warning", "US dollars"),
    ("003_budgets", "a budget for ever", "C091", "warning", "budget_duration"),
    ("003_budgets", "traces without keys", "C070", "warning", "LANGFUSE_SECRET_KEY"),
    ("003_budgets", "traces to the cloud", "C071", "warning", "cloud"),
    ("003_tabs", "a tab", "C006", "error", "tab"),
    ("003_mount", "config.yml where config.yaml is: Docker makes a directory", "C002", "error", "mount"),
    ("004_feature", "a switch that is gone", "C060", "warning", "redis_semantic_cache_use_async"),
    ("004_feature", "an embedding model that is not there", "C043", "warning", "text-embedding-3-small"),
    ("004_feature", "a cache without a server", "C064", "error", "REDIS_HOST"),
    ("004_feature", "a cache whose password is not set", "C062", "error", "REDIS_PASSWORD"),
    ("004_feature", "masking that lets text pass", "C088", "warning", "lets text pass"),
    ("004_feature", "masking without an address", "C085", "error", "PRESIDIO_ANALYZER_API_BASE"),
    ("004_feature", "traces without keys", "C070", "warning", "LANGFUSE_PUBLIC_KEY"),
    ("004_feature", "traces to the cloud", "C071", "warning", "cloud"),
    ("004_feature", "a master key that everybody knows", "C034", "warning", "publicly known"),
    ("004_feature, others reach it", "a master key that everybody can use", "C034", "error", "publicly known"),
    ("004_feature, with the kit's Redis", "a Redis that cannot search", "C061", "warning", "RediSearch"),
]


def findings(name, folder):
    path = SEEDS / f"{name.split(',')[0]}.yaml"
    if name == "003_mount":
        path = folder / "config.yml"
        path.mkdir()
    return lint_file(str(path), context(**SITUATIONS[name])).findings


@pytest.mark.parametrize(("name", "_mistake", "id_", "severity", "says"), MISTAKES)
def test_known_mistakes(name, _mistake, id_, severity, says, tmp_path):
    texts = [
        f"{found.message} {found.why} {found.fix}"
        for found in findings(name, tmp_path)
        if (found.id, found.severity) == (id_, severity)
    ]
    assert any(says in text for text in texts), texts


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_finding_is_a_known_mistake(name, tmp_path):
    """What the lint says beyond the list would be a false alarm, or belongs into the list."""
    base = name.split(",")[0]
    known = {id_ for seed, _mistake, id_, _severity, _says in MISTAKES if seed.split(",")[0] == base}
    assert {found.id for found in findings(name, tmp_path)} <= known


def test_seed_004_with_the_kits_services_needs_no_variables():
    where = {"enabled": frozenset({"gateway", "redis", "langfuse", "presidio"}), "start_with_defaults": True}
    found = lint_file(
        str(SEEDS / "004_feature.yaml"), context(**where, variables={"LITELLM_MASTER_KEY": "sk-password"})
    )
    assert {f.id for f in found.findings if f.severity == "error"} == set()
    assert {"C034", "C060", "C061", "C088"} <= {f.id for f in found.findings}
