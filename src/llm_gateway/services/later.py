"""Services that this version does not run by itself yet: what the plan says about them.

They are named so that an option never does nothing in silence (DESIGN section 3, rule 5). Each leaves this module
for its own when its issue is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.services.base import Placement, Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_gateway.services.base import Draft


def _not_yet(option: str, title: str) -> Callable[[Draft], Placement]:
    def place(draft: Draft) -> Placement:
        if draft.choices[option] in (False, "none"):
            return Placement("off", "Switched off.")
        return Placement("unavailable", f"This version cannot run {title} yet.", next=f"Leave {option} off.")

    return place


LATER: tuple[Service, ...] = (
    Service(id="lago", title="Lago", place=_not_yet("enableLago", "Lago")),
    Service(id="local_model", title="Local model", place=_not_yet("localModel", "a local model")),
)
