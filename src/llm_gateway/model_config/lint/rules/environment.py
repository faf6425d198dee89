"""Variables, secrets and the master key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llm_gateway import credentials
from llm_gateway.model_config.lint.document import REFERENCE, Document, Node, shown, walk
from llm_gateway.model_config.lint.registry import Found, rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.findings import Path, Severity

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Paths whose variables LiteLLM needs to come up.
_AT_START = ({"general_settings", "master_key"}, {"general_settings", "database_url"})
_FOREIGN = re.compile(
    r"^\$\{?[A-Za-z_]\w*(?::-[^}]*)?\}?$|^\$\{\{.*\}\}$|^os\.environ\s*[\[.(]|^os\.getenv\("
    r"|^env[/:.][A-Z_]+$|^%[A-Z_]+%$"
)
_MISSPELT = re.compile(r"^\s*(?:os\.environ|os\.env|os\.environs|os_environ|environ)\s*/\s*\w*\s*$", re.IGNORECASE)
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:api_?key|secret(?:_access)?_?(?:key)?|password|passwd|token|master_key|private_key|license)$"
)
_DUMMY = re.compile(
    r"(?i)^(?:none|null|no|empty|dummy|fake|test|any(?:thing)?|local|ollama|vllm|na|n/a|not[-_ ]?(?:used|required)|"
    r"placeholder|unused|x+|\*+|your[-_ ].*|<.*>|"
    r".*(?:dummy|fake|placeholder|no[-_]?key|not[-_]?needed|change[-_]?me).*)$"
)
_URL_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@:\s]*:([^/@\s]+)@")
_SEED_WORDS = re.compile(r"^(?:sk-)?[a-z]+(?:-[a-z]+)*$")
_SHORTEST = 16


@rule(
    "C030",
    "warning",
    "a variable that is not set",
    why="LiteLLM puts nothing in its place: the provider refuses the call, or the part that needs it does not start.",
    fatal=True,
)
def unset_variable(document: Document, context: LintContext) -> Iterable[Found]:
    declared = document.section("environment_variables").value
    for name, uses in sorted(document.references.items()):
        if not _NAME.fullmatch(name) or context.is_set(name) or name in declared:
            continue
        if context.is_named(name) and all("password" in str(trail[-1]) for trail, _ in uses):
            continue  # empty on purpose: Redis without a password
        needed = next(((trail, node) for trail, node in uses if _needed_at_start(document, trail)), None)
        trail, node = needed or uses[0]
        where = shown(trail) + (f" and {len(uses) - 1} more" if len(uses) > 1 else "")
        state = "is empty" if context.is_named(name) else "is set neither in the environment nor in .env"
        message = f"{name} {state} (for {where})"
        stops = needed is not None and needed[0][-1] != "database_url"  # LiteLLM comes up without a database, too
        yield Found(node.at, message, f"Set it: add {name}=… to .env", "error" if needed else None, fatal=stops)


def _needed_at_start(document: Document, trail: Path) -> bool:
    if set(trail[:2]) in _AT_START:
        return True
    if trail[:2] == ("litellm_settings", "cache_params"):
        return document.cache is not None and trail[-1] in {"host", "url", "port"}
    return trail[0] == "guardrails" and str(trail[-1]).endswith("api_base")


@rule(
    "C031",
    "warning",
    "a variable in a form that LiteLLM does not read",
    why="LiteLLM replaces only whole values of the form os.environ/NAME; anything else is taken literally.",
)
def foreign_reference(document: Document, _context: LintContext) -> Iterable[Found]:
    for trail, node in walk(document.root):
        if node.kind != "string" or "model_name" in trail[-1:]:
            continue
        text = node.value.strip()
        literal = text.startswith(REFERENCE) and not _NAME.fullmatch(text[len(REFERENCE) :])
        if (
            (literal and not _PLACEHOLDER.match(text))
            or _FOREIGN.match(text)
            or (_MISSPELT.match(node.value) and not node.value.startswith(REFERENCE))
        ):
            name = re.sub(r"^(?:os\.\w+|environ|env)|[^A-Za-z0-9_]", "", text) or "NAME"
            yield Found(node.at, f"{shown(trail)} is no reference that LiteLLM resolves", f"Write os.environ/{name}")


def is_secret(trail: Path, text: str) -> bool:
    """Does `text`, which stands at `trail`, look like a secret in plain text?"""
    if not trail or REFERENCE in text or _FOREIGN.match(text):
        return False
    name = str(trail[-1]).lower().replace("-", "_")
    if trail[0] == "environment_variables":
        name = name.replace("_public_key", "")
    in_url = _URL_PASSWORD.match(text)
    bearer = name == "authorization" and len(text.split()[-1:]) == 1
    by_name = (_SECRET_KEY.search(name) or bearer) and len(text) >= 8 and not _DUMMY.match(text)
    return bool(by_name or (in_url and not in_url[1].startswith(("$", "os.environ", "<"))))


def _secrets(document: Document) -> Iterator[tuple[Path, Node]]:
    """Values that look like secrets in plain text."""
    for trail, node in walk(document.root):
        if node.kind == "string" and is_secret(trail, node.value):
            yield trail, node


def secret_values(document: Document) -> list[str]:
    """The values that must never be shown, longest first."""
    return sorted({str(node.value) for _, node in _secrets(document)}, key=len, reverse=True)


_PLACEHOLDER = re.compile(
    r"^(?:os\.environ/)?<[^<>]+>$|^(?:os\.environ/)?your[-_][\w-]+$|^CHANGE[-_]?ME$", re.IGNORECASE
)


@rule(
    "C056",
    "warning",
    "a placeholder that was not filled in",
    why="It comes from a template; the real value is missing.",
)
def placeholder(document: Document, _context: LintContext) -> Iterable[Found]:
    for trail, node in walk(document.root):
        if node.kind == "string" and _PLACEHOLDER.match(node.value):
            yield Found(node.at, f"{shown(trail)} is still the placeholder {node.value}", "Write the real value.")


@rule(
    "C032",
    "warning",
    "a secret in plain text",
    why="Configs are committed, copied and shown; who reads the file can spend your money or read your data.",
)
def plain_secret(document: Document, _context: LintContext) -> Iterable[Found]:
    for trail, node in _secrets(document):
        variable = re.sub(r"\W", "_", str(trail[-1])).upper()
        message = f"{shown(trail)} holds a secret in plain text"
        yield Found(node.at, message, f"Put it into .env and write os.environ/{variable}")


@rule(
    "C033",
    "warning",
    "salt_key in the config",
    why="LiteLLM reads the salt from the variable LITELLM_SALT_KEY only; without it the master key encrypts what is "
    "stored, and changing that key makes stored provider keys unreadable.",
)
def salt_in_config(document: Document, _context: LintContext) -> Iterable[Found]:
    for section in ("general_settings", "litellm_settings"):
        node = document.section(section)
        if node.has("salt_key"):
            fix = "Set LITELLM_SALT_KEY in .env, once and for good, and remove this line."
            yield Found(node.key_at("salt_key"), f"{section}.salt_key is ignored", fix)


def _master_key(document: Document, context: LintContext) -> tuple[Node | None, str | None]:
    """Where the master key is given, and its value; None where only the environment decides, or nobody knows."""
    general = document.section("general_settings")
    node = general.value.get("master_key")
    if node is None:
        return None, context.variables.get("LITELLM_MASTER_KEY")
    text = "" if node.kind == "null" else str(node.value)
    if text.startswith(REFERENCE):
        return node, context.variables.get(text[len(REFERENCE) :])
    return node, text


_GENERATE = (
    "Use a random one: LITELLM_MASTER_KEY=sk-$(openssl rand -hex 32) in .env, and os.environ/LITELLM_MASTER_KEY here."
)


@rule(
    "C034",
    "error",
    "a master key that everybody knows or can guess",
    why="The master key is the admin's password: whoever has it makes keys and spends your money. On loopback a known "
    "one in .env, or with startWithDefaults, is a warning.",
    fatal=True,
)
def weak_master_key(document: Document, context: LintContext) -> Iterable[Found]:
    node, value = _master_key(document, context)
    if not value:
        return
    at = node.at if node else document.root.at
    known = value in credentials.PUBLICLY_KNOWN
    permitted = _permitted(document, context)
    if value == "sk-1234" and not permitted:  # LiteLLM 1.106.2's own check at boot
        yield Found(at, "the master key is a publicly known default, and LiteLLM refuses to start with it", _GENERATE)
    elif known:
        in_file = node is not None and not str(node.value).startswith(REFERENCE)
        lenient = context.loopback and (context.start_with_defaults or permitted or not in_file)
        severity: Severity = "warning" if lenient else "error"
        # A config travels to other machines, so there it is an error; it harms nobody yet on loopback.
        message = "the master key is a publicly known default"
        yield Found(at, message, _GENERATE, severity, fatal=not context.loopback)
    elif len(value) < _SHORTEST or _SEED_WORDS.match(value):
        yield Found(at, "the master key is short or made of words", _GENERATE, "warning")


def _permitted(document: Document, context: LintContext) -> bool:
    """Did somebody switch LiteLLM's own check off?"""
    setting = document.section("general_settings").get("dangerously_permit_weak_or_unset_master_key")
    variable = context.value("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY").lower()
    return (setting is not None and setting.value is True) or variable in {"true", "1"}


@rule("C035", "error", "no master key", why="LiteLLM refuses to start without a master key.", fatal=True)
def no_master_key(document: Document, context: LintContext) -> Iterable[Found]:
    node, value = _master_key(document, context)
    if _permitted(document, context):
        return
    if node is not None and value == "":
        yield Found(node.at, "general_settings.master_key is empty", _GENERATE)
    elif node is None and not context.is_set("LITELLM_MASTER_KEY"):
        severity: Severity = "error" if context.is_named("LITELLM_MASTER_KEY") else "warning"
        message = "neither general_settings.master_key nor LITELLM_MASTER_KEY is set"
        yield Found(document.root.at, message, _GENERATE, severity)


@rule(
    "C036",
    "warning",
    "a master key without sk-",
    why="LiteLLM's clients and its own checks expect keys that begin with sk-.",
)
def master_key_prefix(document: Document, context: LintContext) -> Iterable[Found]:
    node, value = _master_key(document, context)
    if value and not value.startswith("sk-") and (node is None or node.kind == "string"):
        at = node.at if node is not None else document.root.at
        yield Found(at, "the master key does not begin with sk-", "Put sk- in front of it.")


@rule(
    "C037",
    "warning",
    "a weak salt key",
    why="The salt encrypts the provider keys in the database, and it cannot be changed once models were stored.",
)
def weak_salt(document: Document, context: LintContext) -> Iterable[Found]:
    salt = context.value("LITELLM_SALT_KEY")
    same = bool(salt) and salt == (_master_key(document, context)[1] or context.value("LITELLM_MASTER_KEY"))
    if salt and (same or salt in credentials.PUBLICLY_KNOWN or len(salt) < _SHORTEST):
        reason = "is the master key" if same else "is short or publicly known"
        fix = "Before the first model is stored: LITELLM_SALT_KEY=sk-$(openssl rand -hex 32) in .env"
        yield Found(document.root.at, f"LITELLM_SALT_KEY {reason}", fix)


@rule(
    "C038",
    "info",
    "a database URL in the config",
    why="The kit gives the database to LiteLLM, Prisma and its own tools by the variable DATABASE_URL.",
)
def database_in_config(document: Document, _context: LintContext) -> Iterable[Found]:
    general = document.section("general_settings")
    if general.get("database_url") is not None and general.text("database_url") != f"{REFERENCE}DATABASE_URL":
        message = "general_settings.database_url is not what llm-gateway start uses"
        yield Found(general.key_at("database_url"), message, "Set DATABASE_URL in .env and remove this line.")
