"""Services that this version does not run by itself yet: what the plan says about them, and their `.env` lines.

They are named so that an option never does nothing in silence (DESIGN section 3, rule 5). Each leaves this module
for its own when its issue is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway import credentials
from llm_gateway.doctor import langfuse
from llm_gateway.dotenv import Line
from llm_gateway.services.base import Check, Placement, Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_gateway.services.base import Draft


def _langfuse(draft: Draft) -> Placement:
    if not draft.choices.flag("enableLangfuse"):
        return Placement("off", "Switched off.")
    host = draft.environment.get("LANGFUSE_HOST")
    if host and not draft.rendered("LANGFUSE_HOST") and host != "http://localhost:3000":
        return Placement("external", f"LANGFUSE_HOST names {host}; name langfuse in the config's success_callback.")
    return Placement(
        "unavailable",
        "Langfuse has no server that runs without Docker, so calls are not traced.",
        next="Name an existing server by LANGFUSE_HOST and its keys in .env, or: --no-enable-langfuse",
    )


def _not_yet(option: str, title: str) -> Callable[[Draft], Placement]:
    def place(draft: Draft) -> Placement:
        if draft.choices[option] in (False, "none"):
            return Placement("off", "Switched off.")
        return Placement("unavailable", f"This version cannot run {title} yet.", next=f"Leave {option} off.")

    return place


def _langfuse_lines(draft: Draft) -> tuple[Line, ...]:
    defaults = draft.choices.flag("startWithDefaults")
    public = credentials.LANGFUSE_PUBLIC_KEY if defaults else ""
    secret = credentials.LANGFUSE_SECRET_KEY if defaults else ""
    return (
        Line("LANGFUSE_PUBLIC_KEY", public, "Langfuse public key, from the project's settings."),
        Line("LANGFUSE_SECRET_KEY", secret, "Langfuse secret key, from the project's settings."),
        Line("LANGFUSE_HOST", "http://localhost:3000", "Langfuse server."),
    )


def _presidio_lines(_draft: Draft) -> tuple[Line, ...]:
    return (
        Line("PRESIDIO_ANALYZER_API_BASE", "http://localhost:5001", "Presidio analyzer: finds personal data."),
        Line("PRESIDIO_ANONYMIZER_API_BASE", "http://localhost:5002", "Presidio anonymizer: masks what was found."),
    )


LATER: tuple[Service, ...] = (
    Service(
        id="langfuse",
        title="Langfuse",
        place=_langfuse,
        environment=_langfuse_lines,
        checks=(Check("D213", "The external Langfuse takes the traces", langfuse.keys),),
    ),
    Service(id="presidio", title="Presidio", place=_not_yet("enablePresidio", "Presidio"), environment=_presidio_lines),
    Service(id="lago", title="Lago", place=_not_yet("enableLago", "Lago")),
    Service(id="prometheus", title="Prometheus", place=_not_yet("enablePrometheus", "Prometheus")),
    Service(id="local_model", title="Local model", place=_not_yet("localModel", "a local model")),
)
