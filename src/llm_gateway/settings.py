"""The settings: everything that can be set besides the options. This module is the one list of them."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from llm_gateway.choices import Choice
from llm_gateway.masking import entities_problem, languages_problem


def _address(text: str) -> str:
    try:
        ipaddress.ip_address("127.0.0.1" if text == "localhost" else text)
    except ValueError:
        return "an IP address, as 127.0.0.1, 0.0.0.0 or ::"
    return ""


def _url(text: str) -> str:
    parts = urlsplit(text)
    good = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment
    return "" if good else "http://HOST[:PORT] or https://HOST[:PORT]"


def _modules(text: str) -> str:
    good = all(part.strip().startswith("/") and part.strip().endswith(".so") for part in text.split(","))
    return "" if good or not text else "/PATH/TO/redisearch.so, or several such paths, joined by commas"


_PORTS = (
    ("gatewayPort", 4000, "Port of the gateway and its admin UI."),
    ("postgresPort", 5432, "Port of PostgreSQL, when the kit runs it."),
    ("redisPort", 6379, "Port of Redis or Valkey, when the kit runs it."),
    ("presidioAnalyzerPort", 5001, "Port of Presidio's analyzer, when the kit runs it."),
    ("presidioAnonymizerPort", 5002, "Port of Presidio's anonymizer, when the kit runs it."),
    ("prometheusPort", 9090, "Port of Prometheus, when the kit runs it."),
    ("probePort", 4099, "Port on loopback where llm-gateway verify answers its own model while it runs."),
)

SETTINGS: tuple[Choice, ...] = (
    Choice(
        "bind",
        "string",
        "127.0.0.1",
        "Address the gateway listens on. Others than loopback need own credentials.",
        expects=_address,
    ),
    Choice(
        "publicUrl",
        "string",
        "",
        "URL under which people reach the gateway; empty: http://localhost:PORT.",
        expects=_url,
    ),
    *(Choice(id_, "integer", port, text, minimum=1, maximum=65535) for id_, port, text in _PORTS),
    Choice("autoPorts", "boolean", default=False, description="Take the next free port where one is taken."),
    Choice(
        "asIs",
        "boolean",
        default=False,
        description="Give LiteLLM the config as it is, without what enabled services need (see llm-gateway plan).",
    ),
    Choice(
        "database",
        "boolean",
        default=True,
        description="Run with PostgreSQL. Without it there is only the master key: no virtual keys, no budgets.",
    ),
    Choice(
        "presidioLanguages",
        "string",
        "en",
        "Languages in which personal data is looked for, as en,fr or en,de=/DIRECTORY of a spaCy model.",
        expects=languages_problem,
    ),
    Choice(
        "presidioEntities",
        "string",
        "",
        "What is masked, as PERSON,EMAIL_ADDRESS,CREDIT_CARD=BLOCK; empty: all that Presidio looks for by itself.",
        expects=entities_problem,
    ),
    Choice(
        "presidioScope",
        "string",
        "request",
        "Mask requests only, or answers too. Answers that are streamed then arrive in one piece.",
        allowed=("request", "both"),
    ),
    Choice(
        "storePrompts",
        "boolean",
        default=False,
        description="Keep prompts on LiteLLM's Logs page for 7 days; with Presidio only what was masked, no answers.",
    ),
    Choice("prometheusDays", "integer", 15, "Days that Prometheus keeps samples for.", minimum=1, maximum=3650),
    Choice(
        "presidioOnFailure",
        "string",
        "refuse",
        "When Presidio fails: refuse the request, or let its text pass unmasked, with a line in the log.",
        allowed=("refuse", "pass"),
    ),
    Choice(
        "cacheScope",
        "string",
        "key",
        "Who is answered from whose cached calls: each key from its own, each team from its own, or all from all.",
        allowed=("key", "team", "shared"),
    ),
    Choice(
        "semanticCache",
        "boolean",
        default=False,
        description="Answer requests in other words from the cache, too. Needs a Redis with search (docs/cache.md).",
    ),
    Choice(
        "semanticCacheModel",
        "string",
        "",
        "The embedding model of the semantic cache, a model_name; empty: the config's first.",
    ),
    Choice(
        "redisSearchModule",
        "string",
        "",
        "Search module for the Redis that the kit runs: path of a .so file, or several, joined by commas.",
        expects=_modules,
    ),
    Choice("workers", "integer", 0, "Gateway worker processes; 0: chosen from cores and memory.", maximum=64),
    Choice("preload", "boolean", default=True, description="Import LiteLLM once and fork the workers from it."),
    Choice(
        "prismaEngine",
        "string",
        "auto",
        "LiteLLM's query engine: WebAssembly on Node, or Prisma's native binary.",
        allowed=("auto", "wasm", "native"),
    ),
    Choice(
        "logLevel",
        "string",
        "warning",
        "How much the gateway logs.",
        allowed=("debug", "info", "warning", "error"),
    ),
    Choice("debug", "boolean", default=False, description="LiteLLM's --debug: log each call.", remembered=False),
    Choice(
        "timeout",
        "integer",
        300,
        "Seconds until a start that is not ready is given up and rolled back.",
        minimum=1,
        maximum=3600,
        remembered=False,
    ),
)


def is_loopback(address: str) -> bool:
    """Can only this machine reach `address`?"""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
