"""For every rule of the lint a config that it finds something in, and the mended one.

A test goes over the registry, so a rule without a case fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_gateway.model_config.lint.context import LintContext

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL = """\
model_list:
  - model_name: chat
    litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}
"""
BARE = {"LITELLM_MASTER_KEY": "sk-0123456789abcdef0123456789abcdef", "OPENAI_API_KEY": "set"}
INSTALLED = {
    "litellm": "1.106.2",
    "langfuse": "4.18.0",
    "opentelemetry-sdk": "1.45.2",
    "opentelemetry-exporter-otlp-proto-http": "1.45.2",
    "prometheus-client": "0.26.0",
    "redisvl": "0.28.0",
    "redis": "8.1.0",
}


@dataclass(frozen=True)
class Case:
    """`bad` must be found, `good` not. Bytes for what is no text; contexts differ from `bare()` by what they name."""

    bad: str | bytes
    good: str | bytes
    where: Mapping[str, Any] = field(default_factory=dict)
    where_good: Mapping[str, Any] | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def context(**changes: Any) -> LintContext:
    """A context in which everything that configs usually need is there; `unset` names variables to leave out."""
    variables = {**BARE, **changes.pop("variables", {})}
    for name in changes.pop("unset", ()):
        variables.pop(name, None)
    defaults: dict[str, Any] = {"packages": INSTALLED, "enabled": frozenset({"gateway"}), "database": True}
    return LintContext(**{**defaults, **changes, "variables": variables})


def variables(**values: str) -> dict[str, Any]:
    return {"variables": values}


def settings(text: str, section: str = "litellm_settings") -> str:
    """The usual model, and lines of one section."""
    return MODEL + f"{section}:\n" + "".join(f"  {line}\n" for line in text.splitlines())


def params(text: str, model: str = "openai/gpt-4o-mini") -> str:
    """One model with more parameters, in flow style."""
    return f"model_list:\n  - model_name: chat\n    litellm_params: {{model: {model}, {text}}}\n"


def entry(text: str) -> str:
    """One model with more lines beside litellm_params."""
    return MODEL + "".join(f"    {line}\n" for line in text.splitlines())


def guardrail(text: str) -> str:
    return MODEL + f"guardrails:\n  - guardrail_name: pii\n    litellm_params: {{{text}}}\n"


KEY = "api_key: os.environ/OPENAI_API_KEY"
BASES = "presidio_analyzer_api_base: 'http://localhost:5001', presidio_anonymizer_api_base: 'http://localhost:5002'"
PRESIDIO = f"guardrail: presidio, mode: pre_call, default_on: true, pii_entities_config: {{PERSON: MASK}}, {BASES}"
SEMANTIC = (
    "cache: true\ncache_params: {type: redis-semantic, host: cache, port: 6379, password: os.environ/REDIS_PASSWORD, "
)
SEMANTIC += "similarity_threshold: 0.8, redis_semantic_cache_embedding_model: %s}"
EMBED = """\
  - model_name: embed
    litellm_params: {model: openai/text-embedding-3-small, api_key: os.environ/OPENAI_API_KEY}
"""
LANGFUSE = variables(LANGFUSE_PUBLIC_KEY="pk", LANGFUSE_SECRET_KEY="sk", LANGFUSE_HOST="http://localhost:3000")
LAGO = {"LAGO_API_KEY": "k", "LAGO_API_BASE": "http://localhost:3010", "LAGO_API_EVENT_CODE": "calls"}
TRACED = settings("success_callback: [langfuse]")
OTEL = settings("callbacks: [langfuse_otel]")
METERED = settings("success_callback: [lago]")
REDIS = variables(REDIS_HOST="cache", REDIS_PASSWORD="")
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def with_embedding(text: str) -> str:
    return settings(text).replace("litellm_settings:", f"{EMBED}litellm_settings:")


CASES: dict[str, Case] = {
    # reading
    "C003": Case("# " + "x" * 5_000_001, MODEL),
    "C004": Case(b"model_list: [] # caf\xe9\n", MODEL + "# café\n"),
    "C005": Case(MODEL + "general_settings: {master_key: x\n", MODEL),
    "C006": Case("model_list:\n\t- model_name: chat\n", MODEL),
    "C007": Case("# nothing yet\n", MODEL),
    "C008": Case("- model_name: chat\n", MODEL),
    "C009": Case(BOMB, MODEL + "x-a: &a [1, 2]\nx-b: [*a, *a]\n"),
    "C010": Case("a: " + "[" * 300_000 + "]" * 300_000, "x-deep: [[[[1]]]]\n" + MODEL),
    "C011": Case(settings("drop_params: true\ndrop_params: false"), settings("drop_params: true")),
    "C012": Case(MODEL + "general_settings: {master_key: !Ref Key}\n", MODEL),
    "C013": Case(
        MODEL + "include: [gone.yaml]\n",
        MODEL + "include: [there.yaml]\n",
        files={"there.yaml": "model_list:\n" + EMBED},
    ),
    "C014": Case(
        settings("drop_params: true") + "include: [more.yaml]\n",
        settings("drop_params: true") + "include: [list.yaml]\n",
        files={"more.yaml": "litellm_settings: {num_retries: 2}\n", "list.yaml": "model_list:\n" + EMBED},
    ),
    "C015": Case(
        MODEL + "mcp_servers: {deepwiki: {ulr: 'https://mcp.example.com/mcp'}}\n",
        MODEL + "mcp_servers: {deepwiki: {url: 'https://mcp.example.com/mcp', transport: http, auth_type: none}}\n"
        "router_settings: {retry_policy: {TimeoutErrorRetries: 2}}\n",
    ),
    "C017": Case("model_list: []\n", MODEL, where={"database": False}),
    "C018": Case("services: {litellm: {image: 'ghcr.io/x:1'}}\n", MODEL),
    # shape
    "C019": Case(settings("callbacks:"), settings("callbacks: [langfuse]"), where_good=LANGFUSE),
    "C026": Case(params(f"{KEY}, rpm: ten"), params(f"{KEY}, rpm: '10', timeout: os.environ/OPENAI_API_KEY")),
    "C027": Case("model_list:\n  - litellm_params: {model: openai/gpt-4o}\n", MODEL),
    "C028": Case(
        settings("routing_strategy: simple-shufle", "router_settings"),
        settings("routing_strategy: least-busy", "router_settings"),
    ),
    # keys
    "C020": Case(MODEL + "model_lists: []\n", MODEL + "x-shared: &shared {a: 1}\nmcp_servers: {}\n"),
    "C021": Case(
        settings("master_kee: x", "general_settings"), settings("store_model_in_db: true", "general_settings")
    ),
    "C022": Case(params(f"{KEY}, temprature: 0.2"), params(f"{KEY}, temperature: 0.2, top_k: 5")),
    "C023": Case(entry("model_info: {input_cost_per_tokens: 0.1}"), entry("model_info: {team: research, mode: chat}")),
    "C024": Case(
        settings("cache: true\ncache_params: {type: local, tll: 60}"),
        settings("cache: true\ncache_params: {type: local, ttl: 60}"),
    ),
    "C025": Case(guardrail(f"{PRESIDIO}, defaul_on: true"), guardrail(PRESIDIO)),
    "C029": Case(
        settings("health_check_interval: 60", "router_settings"),
        settings("health_check_interval: 60", "general_settings"),
    ),
    "C068": Case(
        params(f"{KEY}, timeout: 30s"),
        params(f"{KEY}, timeout: '30', stream_timeout: os.environ/SECONDS"),
        where_good=variables(SECONDS="5"),
    ),
    "C069": Case(
        settings("allowed_ips: [10.0.0.1]", "general_settings"),
        settings("allowed_ips: [10.0.0.1]", "general_settings"),
        where_good=variables(LITELLM_LICENSE="x"),
    ),
    # environment
    "C030": Case(MODEL, MODEL, where={"unset": ["OPENAI_API_KEY"]}, where_good={}),
    "C031": Case(params("api_key: '${OPENAI_API_KEY}'"), MODEL),
    "C032": Case(params("api_key: sk-proj-AAAABBBBCCCCDDDD"), params("api_key: none")),
    "C033": Case(settings("salt_key: os.environ/OPENAI_API_KEY", "general_settings"), MODEL),
    "C034": Case(
        settings("master_key: sk-1234", "general_settings"),
        settings("master_key: os.environ/LITELLM_MASTER_KEY", "general_settings"),
    ),
    "C035": Case(settings("master_key: ''", "general_settings"), MODEL),
    "C036": Case(
        settings("master_key: os.environ/OTHER", "general_settings"),
        settings("master_key: os.environ/LITELLM_MASTER_KEY", "general_settings"),
        where=variables(OTHER="0123456789abcdef0123456789abcdef"),
    ),
    "C037": Case(MODEL, MODEL, where=variables(LITELLM_SALT_KEY="sk-1234"), where_good={}),
    "C038": Case(
        settings("database_url: os.environ/OTHER", "general_settings"),
        settings("database_url: os.environ/DATABASE_URL", "general_settings"),
        where=variables(OTHER="x", DATABASE_URL="x"),
    ),
    # references
    "C039": Case(settings("success_callback: [langfuse, langfuse]"), TRACED, where=LANGFUSE),
    "C040": Case(
        settings("fallbacks: [{chat: [chatt]}]"),
        with_embedding("fallbacks: [{chat: [embed]}]\ndefault_fallbacks: [chat]"),
    ),
    "C041": Case(
        settings("model_group_alias: {gpt: chatt}", "router_settings"),
        settings("model_group_alias: {gpt: chat, hidden: {model: chat, hidden: true}}", "router_settings"),
    ),
    "C042": Case(
        settings("routing_groups: [{group_name: g, models: [chatt], routing_strategy: least-busy}]", "router_settings"),
        settings("routing_groups: [{group_name: g, models: [chat], routing_strategy: least-busy}]", "router_settings"),
    ),
    "C043": Case(settings(SEMANTIC % "embed"), with_embedding(SEMANTIC % "embed"), where=REDIS),
    "C044": Case(
        settings("callbacks: [langfus]"),
        settings("callbacks: [langfuse, own]")
        + "callback_settings: {own: {callback_type: generic_api, endpoint: x}}\n",
        where=LANGFUSE,
    ),
    "C045": Case(params(f"{KEY}, guardrails: [pi]"), guardrail(PRESIDIO) + "litellm_settings: {}\n"),
    "C046": Case(
        MODEL + MODEL.split("\n", 1)[1],
        MODEL + MODEL.split("\n", 1)[1].replace("OPENAI_API_KEY", "OPENAI_KEY_2"),
        where_good=variables(OPENAI_KEY_2="x"),
    ),
    "C047": Case(
        MODEL + "  - model_name: '*'\n    litellm_params: {model: 'openai/*', api_key: os.environ/OPENAI_API_KEY}\n",
        MODEL
        + "  - model_name: 'openai/*'\n    litellm_params: {model: 'openai/*', api_key: os.environ/OPENAI_API_KEY}\n",
    ),
    "C048": Case(
        settings("callbacks: [my_code.handler]"),
        settings("callbacks: [there.handler]"),
        files={"there.py": "handler = 1"},
    ),
    "C049": Case(
        params("litellm_credential_name: team"),
        params("litellm_credential_name: team")
        + "credential_list: [{credential_name: team, credential_info: {}, credential_values: "
        "{api_key: os.environ/OPENAI_API_KEY}}]\n",
    ),
    # models
    "C050": Case(params(f"{KEY}, mode: chat"), entry("model_info: {mode: chat}")),
    "C051": Case(
        params("api_base: 'http://localhost:11434/v1'", "ollama/llava"),
        params("api_base: 'http://localhost:11434'", "ollama/llava"),
    ),
    "C052": Case(params(f"{KEY}, rpm: 0"), params(f"{KEY}, rpm: 1")),
    "C053": Case(
        params(f"{KEY}, api_base: 'http://gpu/v1'", "openai/own")
        + "litellm_settings: {max_budget: 5, budget_duration: 1d}\n",
        settings("max_budget: 5\nbudget_duration: 1d"),
    ),
    "C054": Case(
        params("api_base: 'http://localhost:11434'", "ollama/llava"),
        params("api_base: 'http://host.docker.internal:11434'", "ollama/llava"),
        where={"container": True},
    ),
    "C055": Case(params(KEY, "my-model"), params(KEY, "gpt-4o")),
    "C057": Case(
        params(f"{KEY}, api_base: 'http://gpu:8000/v1/chat/completions'", "openai/own"),
        params(f"{KEY}, api_base: 'http://gpu:8000/v1'", "openai/own"),
    ),
    "C058": Case(
        params("api_base: 'http://gpu:8000/v1'", "openai/own"),
        params("api_base: 'http://gpu:8000/v1', api_key: none", "openai/own"),
        where={"unset": ["OPENAI_API_KEY"]},
    ),
    "C059": Case(
        params("api_base: 'localhost:8000'", "hosted_vllm/own"),
        params("api_base: 'http://localhost:8000'", "hosted_vllm/own"),
    ),
    "C056": Case(params("api_key: <your key>"), MODEL),
    # cache
    "C060": Case(
        settings("cache: true\ncache_params: {type: local, redis_semantic_cache_use_async: true}"),
        settings("cache: true\ncache_params: {type: local}"),
    ),
    "C061": Case(
        settings("cache: true\ncache_params: {type: redis-semantic, similarity_threshold: 0.8}"),
        settings("cache: true\ncache_params: {type: redis-semantic, similarity_threshold: 0.8}"),
        where={"enabled": frozenset({"gateway", "redis"})},
        where_good={"enabled": frozenset({"gateway", "redis"}), "search": True},
    ),
    "C062": Case(
        settings("cache: true\ncache_params: {type: redis-semantic, host: h, port: 1, similarity_threshold: 0.8}"),
        settings("cache: true\ncache_params: {type: redis-semantic, host: h, port: 1, similarity_threshold: 0.8}"),
        where_good=variables(REDIS_PASSWORD=""),
    ),
    "C063": Case(
        settings("cache: true\ncache_params: {type: redis-semantic, host: h, port: 1}"),
        settings("cache: true\ncache_params: {type: redis-semantic, host: h, port: 1, similarity_threshold: 0.8}"),
        where=REDIS,
    ),
    "C064": Case(settings("cache: true"), settings("cache: true"), where_good=REDIS),
    "C065": Case(
        settings("cache: true\ncache_params: {type: valkey-semantic, host: h, similarity_threshold: 0.8}"),
        settings("cache: true\ncache_params: {type: redis, host: h}"),
    ),
    "C066": Case(
        settings("cache: true\ncache_params: {type: disk}"),
        settings("cache: true\ncache_params: {type: disk}"),
        where_good={"packages": {**INSTALLED, "diskcache": "5.6"}},
    ),
    "C067": Case(settings("cache_params: {type: local}"), settings("cache: false\ncache_params: {type: local}")),
    # tracing
    "C070": Case(TRACED, TRACED, where=variables(LANGFUSE_HOST="http://x"), where_good=LANGFUSE),
    "C071": Case(OTEL, OTEL, where=variables(LANGFUSE_PUBLIC_KEY="p", LANGFUSE_SECRET_KEY="s"), where_good=LANGFUSE),
    "C072": Case(
        TRACED, TRACED, where={**LANGFUSE, "packages": {**INSTALLED, "langfuse": "5.0.4"}}, where_good=LANGFUSE
    ),
    "C073": Case(
        TRACED,
        TRACED,
        where={"variables": {**LANGFUSE["variables"], "LLM_GATEWAY_IMAGE_LANGFUSE": "docker.io/langfuse/langfuse:2"}},
        where_good={
            "variables": {**LANGFUSE["variables"], "LLM_GATEWAY_IMAGE_LANGFUSE": "docker.io/langfuse/langfuse:4"}
        },
    ),
    "C074": Case(OTEL, OTEL, where={**LANGFUSE, "packages": {"litellm": "1.106.2"}}, where_good=LANGFUSE),
    "C079": Case(
        settings("callbacks: [prometheus]"),
        settings("callbacks: [prometheus]"),
        where={"packages": {"litellm": "1.106.2"}},
        where_good={},
    ),
    "C080": Case(
        settings("callbacks: [prometheus]"),
        settings("callbacks: [prometheus]\nrequire_auth_for_metrics_endpoint: false"),
    ),
    "C081": Case(
        settings("failure_callback: [sentry]"),
        settings("failure_callback: [sentry]"),
        where_good={"packages": {**INSTALLED, "sentry-sdk": "2"}},
    ),
    # billing
    "C075": Case(
        settings("success_callback: [lago, langfuse]"),
        settings("success_callback: [langfuse, lago]"),
        where={"variables": {**LANGFUSE["variables"], **LAGO}},
    ),
    "C076": Case(
        METERED,
        METERED,
        where=variables(LAGO_API_KEY="k", LAGO_API_BASE="http://lago:3000", LAGO_EVENT_CODE="calls"),
        where_good=variables(**LAGO),
    ),
    "C077": Case(
        METERED,
        METERED,
        where=variables(**LAGO, LAGO_API_CHARGE_BY=""),
        where_good=variables(**LAGO, LAGO_API_CHARGE_BY="team_id"),
    ),
    "C078": Case(
        METERED,
        METERED,
        where=variables(**{**LAGO, "LAGO_API_BASE": "http://localhost:3010/api/v1"}),
        where_good=variables(**LAGO),
    ),
    "C082": Case(METERED, METERED, where=variables(**LAGO), where_good=variables(**LAGO, LAGO_API_CHARGE_BY="team_id")),
    "C090": Case(
        settings("max_budget: 5\nbudget_duration: 1d"),
        settings("max_budget: 5\nbudget_duration: 1d"),
        where={"database": False},
        where_good={},
    ),
    "C091": Case(settings("max_budget: 5"), settings("max_budget: 5\nbudget_duration: 30d")),
    "C092": Case(
        settings("max_budget: 5 # in cents\nbudget_duration: 1d"),
        settings("max_budget: 5 # US dollars\nbudget_duration: 1d"),
    ),
    "C093": Case(
        entry("model_info: {input_cost_per_token: 0.15}"), entry("model_info: {input_cost_per_token: 0.00000015}")
    ),
    # guardrails
    "C084": Case(guardrail(PRESIDIO.replace("default_on: true, ", "")), guardrail(PRESIDIO)),
    "C085": Case(guardrail("guardrail: presidio, mode: pre_call"), guardrail(PRESIDIO)),
    "C086": Case(
        guardrail(PRESIDIO.replace("localhost:5001", "anonymizer:3000").replace("localhost:5002", "analyzer:3000")),
        guardrail(PRESIDIO.replace("localhost:5001", "analyzer:3000").replace("localhost:5002", "anonymizer:3000")),
    ),
    "C087": Case(guardrail(PRESIDIO.replace("localhost:5001", "localhost:5001/analyze")), guardrail(PRESIDIO)),
    "C088": Case(
        settings("callbacks: [presidio]"),
        guardrail(PRESIDIO),
        where=variables(PRESIDIO_ANALYZER_API_BASE="http://a:1", PRESIDIO_ANONYMIZER_API_BASE="http://b:1"),
    ),
    "C089": Case(guardrail(f"guardrail: presidio, mode: pre_call, default_on: true, {BASES}"), guardrail(PRESIDIO)),
    # network
    "C095": Case(
        params(f"{KEY}, api_base: 'http://172.16.33.66:9997/v1'", "openai/own"),
        params(f"{KEY}, api_base: 'http://172.16.33.66:9997/v1'", "openai/own"),
        where={"proxies": {"http": "http://127.0.0.1:7890"}},
        where_good={"proxies": {"http": "http://127.0.0.1:7890", "no": "localhost,172.16.0.0/12"}},
    ),
    "C096": Case(MODEL, MODEL, where={"packages": {"litellm": "1.82.8"}}, where_good={}),
    "C097": Case(MODEL, MODEL, where={"packages": {"litellm": "1.108.7"}}, where_good={}),
}
