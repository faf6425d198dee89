#!/usr/bin/env python3
"""Write what a LiteLLM config may hold, as the LiteLLM of this interpreter knows it, to src/…/model_config/schema/.

`llm-gateway lint` reads these files instead of importing LiteLLM. `--check` writes nothing and exits 1 when they differ
from what this LiteLLM says; a test calls it, so a new pin cannot come without a new snapshot.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import json
import re
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "src/llm_gateway/model_config/schema"
# Sections that other code than the pydantic model reads; the source scan below finds those in proxy_server.py.
MORE_SECTIONS = ("include",)
# Names that the scan meets in proxy_server.py because other dictionaries are called `config` too.
NOT_SECTIONS = {"interval_hours", "force_reload"}
PARAMETERS = {"optional_params", "litellm_params", "inference_params", "non_default_params", "kwargs", "passed_params"}


def main() -> int:
    """Write or compare both files."""
    import litellm  # noqa: PLC0415 - slow, and the point

    package = Path(litellm.__file__).parent
    stale = []
    for name, value in (("litellm.json", snapshot(litellm, package)), ("models.json", models(package))):
        path, text = TARGET / name, json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'renewed'}: {path}", file=sys.stderr)
    return 1 if stale and "--check" in sys.argv else 0


def snapshot(litellm: ModuleType, package: Path) -> dict[str, Any]:
    """Everything but the model names."""
    from litellm.proxy._types import ConfigYAML  # noqa: PLC0415
    from litellm.types.guardrails import Guardrail, SupportedGuardrailIntegrations  # noqa: PLC0415
    from litellm.types.guardrails import LitellmParams as GuardrailParams  # noqa: PLC0415
    from litellm.types.router import LiteLLM_Params, ModelInfo  # noqa: PLC0415
    from litellm.types.secret_managers.main import KeyManagementSystem  # noqa: PLC0415
    from litellm.types.utils import LlmProviders, all_litellm_params  # noqa: PLC0415

    schema = ConfigYAML.model_json_schema()
    types = Types(schema.get("$defs", {}))
    general = types.of_model(schema["$defs"]["ConfigGeneralSettings"])
    scanned = scan(package)
    general |= {name: [] for name in sorted(scanned["general_settings"]) if name not in general}
    parameters = Types(LiteLLM_Params.model_json_schema().get("$defs", {})).of_model(LiteLLM_Params.model_json_schema())
    passed = {*all_litellm_params, *litellm.OPENAI_CHAT_COMPLETION_PARAMS, *constant_lists(), *scanned["params"]}
    guardrail = GuardrailParams.model_json_schema()
    info = ModelInfo.model_json_schema()
    return {
        "litellm": importlib.metadata.version("litellm"),
        "sections": sorted({*schema["properties"], *scanned["sections"], *MORE_SECTIONS}),
        "general_settings": dict(sorted(general.items())),
        "litellm_settings": module_settings(litellm, package, scanned),
        "router_settings": router_settings(litellm),
        "routing_strategies": routing_strategies(),
        "key_management_systems": sorted(entry.value for entry in KeyManagementSystem),
        "litellm_params": dict(sorted(parameters.items())),
        "passed_params": sorted(name for name in passed - parameters.keys() if re.fullmatch(r"[a-zA-Z]\w+", name)),
        "model_info": {
            **{name: [] for name in sorted(cost_fields(package))},
            **Types(info.get("$defs", {})).of_model(info),
        },
        "callbacks": callbacks(litellm, package),
        "cache": cache(),
        "guardrails": {
            "keys": sorted(Guardrail.__annotations__),
            "types": sorted(entry.value for entry in SupportedGuardrailIntegrations),
            "modes": guardrail_modes(),
            "params": Types(guardrail.get("$defs", {})).of_model(guardrail),
        },
        "entries": entries(package),
        "providers": sorted({entry.value for entry in LlmProviders} | providers(litellm)),
    }


def entries(package: Path) -> dict[str, list[str]]:
    """Keys of what stands one level below sections and settings."""
    from litellm.proxy._types import PassThroughGenericEndpoint  # noqa: PLC0415
    from litellm.types.integrations.slack_alerting import SlackAlertingArgs  # noqa: PLC0415
    from litellm.types.mcp_server.mcp_server_manager import MCPServer  # noqa: PLC0415
    from litellm.types.router import AllowedFailsPolicy, RetryPolicy, RoutingGroup  # noqa: PLC0415
    from litellm.types.utils import CredentialItem  # noqa: PLC0415

    found = {
        name: set(model.model_fields)
        for name, model in {
            "alerting_args": SlackAlertingArgs,
            "allowed_fails_policy": AllowedFailsPolicy,
            "credential_list": CredentialItem,
            "mcp_servers": MCPServer,
            "pass_through_endpoints": PassThroughGenericEndpoint,
            "retry_policy": RetryPolicy,
            "routing_groups": RoutingGroup,
        }.items()
    }
    for kind, file, wanted in (
        ("mcp_servers", "proxy/_experimental/mcp_server/mcp_server_manager.py", "server_config"),
        ("pass_through_endpoints", "proxy/pass_through_endpoints/pass_through_endpoints.py", "endpoint_data"),
    ):
        tree = ast.parse((package / file).read_text(encoding="utf-8"))
        found[kind] |= {name for owner, name in reads(tree) if owner == wanted}
    return {name: sorted(names) for name, names in found.items()}


def providers(litellm: ModuleType) -> set[str]:
    """Prefixes that `provider/model` may have."""
    names = {entry.value if isinstance(entry, Enum) else str(entry) for entry in litellm.provider_list}
    json_file = Path(litellm.__file__).parent / "llms/openai_like/providers.json"
    return names | (set(json.loads(json_file.read_text(encoding="utf-8"))) if json_file.exists() else set())


class Types:
    """JSON-schema properties as short lists of type names; an empty list means anything."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.definitions = definitions

    def of_model(self, schema: dict[str, Any]) -> dict[str, list[str]]:
        return {name: self.of(value) for name, value in sorted(schema.get("properties", {}).items())}

    def of(self, schema: dict[str, Any]) -> list[str]:
        found = sorted(self._walk(schema))
        return [] if "any" in found else found

    def _walk(self, schema: dict[str, Any]) -> Iterator[str]:
        if "$ref" in schema:
            yield from self._walk(self.definitions[schema["$ref"].rsplit("/", 1)[1]])
        elif "anyOf" in schema or "allOf" in schema or "oneOf" in schema:
            for part in schema.get("anyOf") or schema.get("oneOf") or schema["allOf"]:
                yield from self._walk(part)
        elif "enum" in schema or "const" in schema:
            yield "string"
        else:
            yield str(schema.get("type", "any"))


def scan(package: Path) -> dict[str, set[str]]:
    """Names that LiteLLM's source reads by hand from the config's dictionaries."""
    found: dict[str, set[str]] = {
        "sections": set(),
        "general_settings": set(),
        "litellm_settings": set(),
        "params": set(),
    }
    enterprise = [Path(path) for path in _enterprise()]
    for root in (package, *enterprise):
        for path in sorted(root.rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
            if "llms" in path.parts:
                found["params"] |= set(provider_parameters(tree))
            for owner, name in reads(tree):
                if owner == "config" and path.name == "proxy_server.py" and name not in NOT_SECTIONS:
                    found["sections"].add(name)
                elif owner in {"general_settings", "litellm_settings"}:
                    found[owner].add(name)
                elif owner in PARAMETERS and "proxy" not in path.parts:
                    found["params"].add(name)
    return found


def _enterprise() -> list[str]:
    try:
        import litellm_enterprise  # noqa: PLC0415
    except ImportError:
        return []
    return list(litellm_enterprise.__path__)


def provider_parameters(tree: ast.AST) -> Iterator[str]:
    """What the configuration classes of the providers take: num_ctx, top_k and the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    yield from (argument.arg for argument in part.args.args if argument.arg != "self")


def reads(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """`owner.get("name")`, `owner.pop("name")` and `owner["name"]`, with the owner's last name."""
    for node in ast.walk(tree):
        key: ast.expr | None = None
        owner: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "pop"}:
            owner, key = node.func.value, node.args[0] if node.args else None
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            owner, key = node.value, node.slice
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            name = getattr(owner, "id", None) or getattr(owner, "attr", None)
            if name:
                yield name, key.value


def module_settings(litellm: ModuleType, package: Path, scanned: dict[str, set[str]]) -> dict[str, list[str]]:
    """Module variables that `litellm_settings` may set, and the keys that load_config handles itself."""
    annotated = litellm.__annotations__
    names: dict[str, list[str]] = {}
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        targets = (
            [node.target] if isinstance(node, ast.AnnAssign) else node.targets if isinstance(node, ast.Assign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and not target.id.startswith("_") and not target.id.isupper():
                value = getattr(litellm, target.id, None)
                if not isinstance(value, ModuleType | type) and not inspect.isroutine(value):
                    names[target.id] = annotation_types(str(annotated.get(target.id, "")))
    for name, value in vars(litellm).items():  # what __init__ imports from other modules, set_verbose for one
        if re.fullmatch(r"[a-z][a-z0-9_]*", name) and isinstance(value, bool | int | float | str):
            names.setdefault(name, [])
    names = {name: kinds for name, kinds in names.items() if not name.endswith(("_models", "Config"))}
    source = (package / "proxy/proxy_server.py").read_text(encoding="utf-8")
    handled = set(re.findall(r'\b(?:el)?if key == "(\w+)"', source)) | scanned["litellm_settings"]
    names |= {name: [] for name in handled if name not in names}
    return dict(sorted(names.items()))


_WORDS = {
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "str": "string",
    "list": "array",
    "List": "array",
    "dict": "object",
    "Dict": "object",
}


def annotation_types(annotation: str) -> list[str]:
    """Type names of a plain annotation such as `Optional[bool]`; an empty list for everything less plain."""
    inner = re.sub(r"^(?:typing\.)?Optional\[(.*)\]$", r"\1", annotation).replace(" | None", "").strip()
    parts = [
        re.sub(r"[\[<].*", "", part.strip()).replace("typing.", "") for part in re.sub(r"\[.*\]", "", inner).split("|")
    ]
    found = {_WORDS.get(part, "any") for part in parts if part}
    return [] if "any" in found or not found else sorted(found)


def router_settings(litellm: ModuleType) -> dict[str, list[str]]:
    from litellm.proxy import proxy_server  # noqa: PLC0415 - only for this constant
    from litellm.types.router import UpdateRouterConfig  # noqa: PLC0415

    schema = UpdateRouterConfig.model_json_schema()
    typed = Types(schema.get("$defs", {})).of_model(schema)
    signature = inspect.signature(litellm.Router.__init__).parameters
    outside = set(proxy_server.ROUTER_SETTINGS_MANAGED_OUTSIDE_CONFIG)
    return {
        name: typed.get(name) or annotation_types(str(parameter.annotation))
        for name, parameter in sorted(signature.items())
        if name not in {"self", *outside}
    }


def routing_strategies() -> list[str]:
    from litellm.types.router import RoutingStrategy  # noqa: PLC0415

    return sorted({*(entry.value for entry in RoutingStrategy), "simple-shuffle"})


def constant_lists() -> set[str]:
    """Request parameters of the other endpoints."""
    from litellm import constants  # noqa: PLC0415

    return {
        *constants.OPENAI_EMBEDDING_PARAMS,
        *constants.OPENAI_TRANSCRIPTION_PARAMS,
        *constants.DEFAULT_CHAT_COMPLETION_PARAM_VALUES,
    }


def callbacks(litellm: ModuleType, package: Path) -> dict[str, list[str]]:
    """Names for `callbacks` (an unknown one stops the start) and for success_callback and its like (ignored)."""
    known = set(litellm._known_custom_logger_compatible_callbacks)  # noqa: SLF001
    generic = set(json.loads((package / "integrations/generic_api/generic_api_compatible_callbacks.json").read_text()))
    handlers = (package / "proxy/common_utils/callback_utils.py").read_text(encoding="utf-8")
    logging = (package / "litellm_core_utils/litellm_logging.py").read_text(encoding="utf-8")
    special = set(re.findall(r'callback == "([\w-]+)"', handlers))
    lists = known | generic | set(re.findall(r'callback == "([\w-]+)"', logging))
    return {"callbacks": sorted(known | generic | special), "success_callback": sorted(lists)}


def cache() -> dict[str, list[str]]:
    from litellm._redis import _get_redis_kwargs  # noqa: PLC0415
    from litellm.caching.caching import Cache  # noqa: PLC0415
    from litellm.types.caching import LiteLLMCacheType  # noqa: PLC0415

    own = set(inspect.signature(Cache.__init__).parameters) - {"self", "kwargs", "_backend"}
    return {
        "types": sorted(entry.value for entry in LiteLLMCacheType),
        "params": sorted(own),
        "redis_params": sorted({*_get_redis_kwargs(), "startup_nodes", "sentinel_nodes", "service_name"} - own),
    }


def guardrail_modes() -> list[str]:
    from litellm.types.guardrails import GuardrailEventHooks  # noqa: PLC0415

    return sorted(entry.value for entry in GuardrailEventHooks)


def prices(package: Path) -> dict[str, dict[str, Any]]:
    text = (package / "model_prices_and_context_window_backup.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(text)
    table.pop("sample_spec", None)
    return table


def cost_fields(package: Path) -> set[str]:
    return {field for entry in prices(package).values() for field in entry}


def models(package: Path) -> dict[str, Any]:
    """Model names that LiteLLM knows: provider → mode → names, apart for those with and without a price."""
    priced: dict[str, dict[str, list[str]]] = {}
    unpriced: dict[str, dict[str, list[str]]] = {}
    for name, entry in sorted(prices(package).items()):
        has_price = any("cost" in field and isinstance(value, int | float) for field, value in entry.items())
        target = priced if has_price else unpriced
        target.setdefault(entry.get("litellm_provider", ""), {}).setdefault(entry.get("mode", ""), []).append(name)
    return {"litellm": importlib.metadata.version("litellm"), "priced": priced, "unpriced": unpriced}


if __name__ == "__main__":
    sys.exit(main())
