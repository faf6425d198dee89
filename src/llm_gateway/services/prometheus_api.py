"""Asking a Prometheus over its HTTP API (v1, the same in its versions 2 and 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from llm_gateway.model_config.redaction import address

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

_SECONDS = 5.0
_DAY = 86400
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": _DAY, "w": 7 * _DAY, "y": 365 * _DAY}


class Unusable(Exception):  # noqa: N818 - each reader makes its own finding of it
    """No answer, or none of a Prometheus. Its text says which, without credentials.

    Attributes:
        answered: something answers there.
    """

    def __init__(self, reason: str, *, answered: bool) -> None:
        super().__init__(reason)
        self.answered = answered


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a scrape.

    Attributes:
        job: the name of its job.
        url: what is scraped.
        health: `up`, `down` or `unknown`.
        error: why the last scrape failed.
        interval: seconds between two scrapes.
    """

    job: str
    url: str
    health: str
    error: str
    interval: float


def seconds(duration: str) -> float:
    """A duration as Prometheus writes it: `5s`, `1m30s`, `2w`."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|[smhdwy])", duration))


class PrometheusApi:
    """A client. Its calls raise `Unusable`.

    Args:
        url: of Prometheus; may hold user and password.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.shown = address(url)
        self._base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None

    def targets(self) -> list[Target]:
        """All that it scrapes."""
        return [
            Target(
                one["labels"].get("job", ""),
                one["scrapeUrl"],
                one["health"],
                one["lastError"],
                seconds(one.get("scrapeInterval", "1m")),
            )
            for one in self._ask("targets", {"state": "active"})["activeTargets"]
        ]

    def flags(self) -> dict[str, str]:
        """The command line that it was started with."""
        return dict(self._ask("status/flags"))

    def value(self, expression: str) -> float | None:
        """The one number that an expression gives now, None when it gives nothing."""
        result = self._ask("query", {"query": expression})["result"]
        return float(result[0]["value"][1]) if result else None

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending or firing."""
        return list(self._ask("alerts")["alerts"])

    def _ask(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        import httpx  # noqa: PLC0415 - 0.1 s that every verb would pay

        try:
            answer = httpx.get(
                f"{self._base}/api/v1/{path}",
                params=dict(parameters or {}),
                auth=self._auth,
                timeout=_SECONDS,
                trust_env=False,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Unusable(f"nothing answers at {self.shown} ({reason})", answered=False) from None
        return self._data(answer)

    def _data(self, answer: httpx.Response) -> Any:
        try:
            body = answer.json()
            if body["status"] == "success":
                return body["data"]
        except (ValueError, KeyError, TypeError):
            pass
        text = f"what answers at {self.shown} is not Prometheus (status {answer.status_code} for its API)"
        if answer.status_code in {401, 403}:
            text = f"{self.shown} refuses us ({answer.status_code})"
        raise Unusable(text, answered=True)
