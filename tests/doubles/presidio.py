"""Presidio's two servers in one, as far as LiteLLM calls them: e-mail addresses are found and masked.

`broken` makes the analyzer answer as a proxy in front of a dead one does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from doubles.server import Answer, Double

if TYPE_CHECKING:
    from doubles.server import Request

_MAIL = re.compile(r"[\w.]+@[\w.]+\w")


@dataclass
class Presidio(Double):
    """Analyzer and anonymizer on one port."""

    broken: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """What a person writes into `.env`."""
        return {"PRESIDIO_ANALYZER_API_BASE": self.url, "PRESIDIO_ANONYMIZER_API_BASE": self.url}

    def answer(self, request: Request) -> Answer:
        if self.broken:
            return Answer(503, "no server is available to handle this request")
        if request.method == "GET":
            return Answer(body="Presidio is up" if request.path == "/health" else ["EMAIL_ADDRESS", "PERSON"])
        text = request.body["text"]
        if request.path == "/analyze":
            wanted = request.body.get("entities", ["EMAIL_ADDRESS"])
            found = _MAIL.finditer(text) if "EMAIL_ADDRESS" in wanted else ()
            return Answer(body=[{"entity_type": "EMAIL_ADDRESS", "start": m.start(), "end": m.end(), "score": 1.0}
                                for m in found])  # fmt: skip
        if request.path == "/anonymize":
            return Answer(body={"text": _MAIL.sub("<EMAIL_ADDRESS>", text), "items": []})
        return Answer(404, "not found")
