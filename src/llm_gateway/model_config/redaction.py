"""Showing a config without its secrets. Fails closed: what may be one is hidden.

The lint's `is_secret` is for another purpose: it blames, so it must not raise false alarms. Here a value too many that
reads `***` costs nothing; one too few is in a bug report for ever.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HIDDEN = "***"

_REFERENCE = re.compile(r"os\.environ/[A-Za-z_]\w*")
_WORDS = re.compile(
    r"key|token|secret|pass|pwd|cred|auth|cookie|webhook|salt|signature|bearer|connection_string"
    r"|(?:^|_)(?:sig|dsn|jwt)(?:_|$)|^(?:litellm_)?license$"
)
# Longer words that contain one of these and mean something else. PASSPORT and CREDIT_CARD are entities of Presidio.
_OTHER_WORDS = re.compile(
    r"valkey|keyword|keycloak|key_generat(?:e|ion)|tokenizer|pass_?through|passport|passed|bypass|compass|credit|author(?=s|_|$)"
)
# Everything below these is hidden: names that a person chose say nothing about what is in them.
_CLOSED = re.compile(r"(?:.*_)?headers|environment_variables|env|env_vars|args")
# LiteLLM 1.106.2's names with one of the words whose values are names, addresses or rules.
HARMLESS = frozenset(
    {
        *("anthropic_identity_token_file", "anthropic_keycloak_auth_method", "anthropic_keycloak_token_url"),
        *("auth_mode", "auth_type", "authorization_url", "common_cloud_provider_auth_params"),
        *("configurable_clientside_auth_params", "configured_authorization_url", "configured_token_url"),
        *("credential_info", "credential_list", "credential_name", "custom_auth", "custom_auth_settings"),
        *("custom_key_policy", "custom_key_update", "default_key_max_budget_alert_emails", "detect_secrets_config"),
        *("key_alias_pattern", "key_management_settings", "key_management_system", "litellm_credential_name"),
        *("litellm_jwtauth", "litellm_key_header_name", "mcp_client_side_auth_header_name", "oauth2_config_mappings"),
        *("oauth2_flow", "openai_identity_token_file", "secret_manager_settings", "ssl_keyfile", "subject_token_type"),
        *("token_count_framing", "token_count_model", "token_count_tokenizer", "token_endpoint_auth_method"),
        *("token_exchange_endpoint", "token_exchange_profile", "token_rate_limit_type", "token_url"),
        *("upstream_token_header",),
    }
)
# Names with one of these hold quantities: a number may be shown, anything else may not.
_QUANTITIES = frozenset(
    {
        *("budget", "cost", "count", "days", "fails", "interval", "length", "limit", "max", "min", "retries", "rpm"),
        *("seconds", "size", "timeout", "tpm", "ttl"),
    }
)
_TOKENS_OF_ACCESS = frozenset({"access", "api", "auth", "bearer", "id", "refresh", "secret", "session"})
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ADDRESS = re.compile(r"(?:.*_)?(?:url|base|host|endpoint)")

_USER = re.compile(r"(?<=://)[^\s/?#]*@")
# A password with an unescaped slash; digits up to a slash are a port instead.
_SPILT_USER = re.compile(r"(?<=://)[^\s/?#@:\[]+:(?!\d{1,5}(?:[/?#,]|$))\S{0,500}@")
_USER_FIRST = re.compile(r"^[^\s/@:]+:[^\s/@]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[^\s'\",]+")
_ASSIGNED = re.compile(r"""(?<![\w.-])(?P<name>[\w.-]+)["']?\s*[=:]\s*""")
_OPTION = re.compile(r"(?<![\w-])(?P<name>--?[A-Za-z][\w-]*)\s+(?!-)")
_VALUE = re.compile(r""""[^"]*"|'[^']*'|[^\s&;,"'}#]*""")
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
    r"|\b(?:sk-|pk-lf-|ghp_|github_pat_|glpat-|xox[a-z]-|hf_|AKIA|AIza|eyJ)[\w.-]{8,}",
    re.DOTALL,
)


def masked(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    """`value`, which stands at `path` of a config, with `***` in the place of every secret.

    References (`os.environ/NAME`), true, false, null and the empty text stay.
    """
    name, closed = "", False
    for part in path:
        name, closed = _below(name, part, closed=closed)
    return _masked(value, name, closed=closed)


def without_credentials(text: str) -> str:
    """`text` without the user of any URL, values that are assigned to a secret's name, and tokens of known shapes."""
    text = _SPILT_USER.sub(f"{HIDDEN}@", _USER.sub(f"{HIDDEN}@", text))
    text = _USER_FIRST.sub(f"{HIDDEN}@", text)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    for pattern in (_ASSIGNED, _OPTION):
        text = "".join(_assigned(pattern, text))
    return _SHAPES.sub(HIDDEN, text)


def address(value: str) -> str:
    """An address, with or without a scheme, as it may be shown."""
    if "://" in value:
        return without_credentials(value)
    return without_credentials(f"http://{value}").removeprefix("http://")


def _assigned(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """`text` in pieces. What is assigned to a harmless name is looked into: `https:` has its parameters there."""
    at = 0
    while found := pattern.search(text, at):
        yield text[at : found.end()]
        at = found.end()
        name = _normal(found["name"])
        if _is_secret(name) and (value := _VALUE.match(text, at)) and not _may_be_shown(value[0], name):
            yield HIDDEN
            at = value.end()
    yield text[at:]


def _below(name: str, part: Any, *, closed: bool) -> tuple[str, bool]:
    """What to know about a member: its name (in a list the list's), and whether all below its parent is hidden."""
    if isinstance(part, int) and not isinstance(part, bool):
        return name, closed
    return _normal(str(part)), closed or _is_closed(name)


def _masked(value: Any, name: str, *, closed: bool) -> Any:
    if isinstance(value, dict):
        return {key: _member(value[key], name, str(key), closed=closed) for key in value}
    if isinstance(value, list | set):
        return type(value)(_masked(inner, name, closed=closed) for inner in value)
    if isinstance(value, tuple) and len(value) == 2:  # !!omap and !!pairs
        return value[0], _member(value[1], name, str(value[0]), closed=closed)
    return _scalar(value, name, closed=closed)


def _member(value: Any, name: str, key: str, *, closed: bool) -> Any:
    below, closed = _below(name, key, closed=closed)
    return _masked(value, below, closed=closed)


def _scalar(value: Any, name: str, *, closed: bool) -> Any:
    if value is None or isinstance(value, bool) or _may_be_shown(value, "" if closed else name):
        return value
    if closed or isinstance(value, bytes) or _is_closed(name):
        return HIDDEN
    if not isinstance(value, str):
        return value
    return address(value) if _ADDRESS.fullmatch(name) else without_credentials(value)


def _may_be_shown(value: Any, name: str) -> bool:
    """Is the value of a secret's name none after all: nothing, a reference or a quantity?"""
    return value == "" or bool(isinstance(value, str) and _REFERENCE.fullmatch(value)) or _is_quantity(name, value)


def _normal(name: str) -> str:
    """`X-Api-Key` and `apiKey` as `x_api_key` and `api_key`."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def _is_closed(name: str) -> bool:
    return bool(_CLOSED.fullmatch(name)) or _is_secret(name)


def _is_secret(name: str) -> bool:
    return name not in HARMLESS and bool(_WORDS.search(_OTHER_WORDS.sub("", name)))


def _is_quantity(name: str, value: Any) -> bool:
    parts = set(name.split("_"))
    counts = parts & _QUANTITIES or ("tokens" in parts and not parts & _TOKENS_OF_ACCESS)
    return bool(counts) and (isinstance(value, int | float) or bool(_NUMBER.fullmatch(str(value))))
