"""LiteLLM's admin API, as the seeder needs it. Never goes through a proxy."""

from __future__ import annotations

from typing import Any, Self

import httpx

from llm_gateway.errors import GatewayError


class AdminApi:
    """A client with the master key.

    Args:
        base_url: of the gateway.
        master_key: LITELLM_MASTER_KEY.
    """

    def __init__(self, base_url: str, master_key: str) -> None:
        self._client = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {master_key}"},
            timeout=30,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._client.close()

    def find(self, method: str, path: str, *, not_there: tuple[int, ...], **request: Any) -> Any:
        """The object's JSON, None when LiteLLM answers with one of the statuses that mean "no such object".

        Raises:
            GatewayError: E601 unreachable, E602 any other status.
        """
        answer = self._send(method, path, request)
        if answer.status_code in not_there:
            return None
        return self._json(answer, path)

    def send(self, method: str, path: str, **request: Any) -> Any:
        """The answer's JSON. Errors as `find`."""
        return self._json(self._send(method, path, request), path)

    def _send(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response:
        try:
            return self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise GatewayError(
                "E601",
                f"The gateway does not answer {path}: {error or type(error).__name__}.",
                cause="It is not running, or it was stopped meanwhile.",
                next="llm-gateway status",
            ) from None

    @staticmethod
    def _json(answer: httpx.Response, path: str) -> Any:
        try:
            value = answer.json()
        except ValueError:
            value = None
        if answer.is_success and value is not None:
            return value
        error = value.get("error", value.get("detail", value)) if isinstance(value, dict) else answer.text[:200]
        text = error.get("message", error) if isinstance(error, dict) else error
        cause = "The gateway runs with another master key." if answer.status_code in {401, 403} else "See its log."
        raise GatewayError(
            "E602",
            f"The gateway answered {path} with {answer.status_code}: {str(text)[:300]}",
            cause=cause,
            next="llm-gateway logs gateway",
        )
