"""Langfuse, OpenTelemetry, Prometheus and other loggers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.registry import Found, rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document

_LANGFUSE = ("langfuse", "langfuse_otel")
_OTEL = ("otel", "langfuse_otel", "arize", "arize_phoenix", "weave_otel", "levo", "signoz")
_PACKAGES = {"sentry": "sentry-sdk", "mlflow": "mlflow", "wandb": "wandb", "lunary": "lunary",
             "traceloop": "traceloop-sdk", "s3": "boto3", "logfire": "logfire"}  # fmt: skip
_FAIL_EVERY_CALL = {"sentry", "wandb", "lunary", "traceloop", "logfire"}  # each tried without its package
_OLD_SERVER = re.compile(r"langfuse[^/\s]*(?::|@|/v?)2(?:\.|$)|langfuse/langfuse:2(?:\.|$)")


def _variable(document: Document, context: LintContext, *names: str) -> bool:
    declared = document.section("environment_variables")
    return any(context.is_set(name) or declared.get(name) is not None for name in names)


@rule("C070", "warning", "Langfuse without its keys", why="Langfuse refuses the traces, and nothing else tells you.")
def langfuse_keys(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback(*_LANGFUSE)
    if entry is None:
        return
    unset = [n for n in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY") if not _variable(document, context, n)]
    if unset:
        fix = "Create keys in the Langfuse project's settings, and set them in .env"
        yield Found(entry.node.at, f"{entry.name} is on, but {' and '.join(unset)} not set", fix)


@rule("C071", "warning", "Langfuse without a host", why="Traces, with every prompt and answer, go to the public cloud.")
def langfuse_host(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback(*_LANGFUSE)
    if entry is None:
        return
    names = (
        ("LANGFUSE_HOST", "LANGFUSE_BASE_URL") if entry.name == "langfuse" else ("LANGFUSE_OTEL_HOST", "LANGFUSE_HOST")
    )
    if not _variable(document, context, *names):
        cloud = "EU" if entry.name == "langfuse" else "US"
        message = f"{entry.name} is on and LANGFUSE_HOST is not set: traces go to Langfuse's {cloud} cloud"
        fix = "Set LANGFUSE_HOST in .env; for the cloud too, so that it is meant."
        yield Found(entry.node.at, message, fix)


@rule(
    "C072",
    "error",
    "a Langfuse package that LiteLLM cannot use",
    why="Every request is answered with 500, not only unlogged.",
    fatal=True,
)
def langfuse_package(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback("langfuse")
    if entry is None or context.packages is None:
        return
    version = context.packages.get("langfuse", "")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if not (4, 7) <= numbers < (5, 0):
        state = f"is {version}" if version else "is not installed"
        message = f"the callback langfuse needs the package langfuse 4.7 or newer and below 5; it {state}"
        yield Found(entry.node.at, message, "pip install 'langfuse>=4.7,<5' in the gateway's environment")


@rule(
    "C073",
    "error",
    "a Langfuse server of version 2",
    why="It has no OTLP route, which is all that this LiteLLM can send to.",
    fatal=True,
)
def langfuse_server(document: Document, context: LintContext) -> Iterable[Found]:
    for service in document.section("services").value.values():  # a Compose file that was given by mistake, or to ask
        image = service.get("image")
        if image is not None and _OLD_SERVER.search(str(image.value)):
            message = f"{image.value} is a Langfuse server of version 2, which cannot receive LiteLLM's traces"
            yield Found(image.at, message, "Use version 4 (or 3.63 and newer).")
    entry = document.callback(*_LANGFUSE)
    if entry is None:
        return
    for name in ("LLM_GATEWAY_IMAGE_LANGFUSE", "LANGFUSE_IMAGE", "LLM_GATEWAY_IMAGE_LANGFUSE_WEB"):
        if _OLD_SERVER.search(context.value(name)):
            message = f"{name} names a Langfuse server of version 2, which cannot receive LiteLLM's traces"
            yield Found(entry.node.at, message, "Use version 4 (or 3.63 and newer).")


@rule(
    "C074",
    "error",
    "an OpenTelemetry callback without its packages",
    why="Requests succeed, and every trace is lost.",
    fatal=True,
)
def otel_package(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback(*_OTEL)
    if entry is None:
        return
    for package in ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"):
        if context.installed(package) is False:
            message = f"{entry.name} needs the package {package}, which is not installed"
            yield Found(entry.node.at, message, f"pip install {package} in the gateway's environment")


@rule("C079", "error", "Prometheus without its package", why="The gateway stops at the start.", fatal=True)
def prometheus_package(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback("prometheus")
    if entry is not None and context.installed("prometheus-client") is False:
        message = "prometheus needs the package prometheus-client, which is not installed"
        yield Found(entry.node.at, message, "pip install prometheus-client in the gateway's environment")


@rule(
    "C080",
    "info",
    "metrics that need a key",
    why="LiteLLM answers /metrics with 401 unless the scraper sends a key, so Prometheus stays empty.",
)
def metrics_key(document: Document, _context: LintContext) -> Iterable[Found]:
    entry = document.callback("prometheus")
    open_ = document.section("litellm_settings").get("require_auth_for_metrics_endpoint")
    if entry is not None and (open_ is None or open_.value is not False):
        fix = "Give the scraper the master key as bearer token, or set require_auth_for_metrics_endpoint: false."
        yield Found(entry.node.at, "/metrics asks for a key", fix)


@rule(
    "C081",
    "warning",
    "a callback whose package is not installed",
    why="LiteLLM loads it at the first call: each request is answered with 500, or none is logged.",
    fatal=True,
)
def other_packages(document: Document, context: LintContext) -> Iterable[Found]:
    for entry in document.callbacks:
        package = _PACKAGES.get(entry.name, "")
        if package and context.installed(package) is False:
            message = f"{entry.name} needs the package {package}, which is not installed"
            fails = entry.name in _FAIL_EVERY_CALL and entry.list != "callbacks"
            fix = f"pip install {package} in the gateway's environment"
            yield Found(entry.node.at, message, fix, "error" if fails else None)
