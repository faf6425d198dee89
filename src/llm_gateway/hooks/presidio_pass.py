"""Presidio's guardrail for `presidioOnFailure=pass`: what cannot be masked goes to the provider as it is.

LiteLLM 1.106.2 has no parameter for that. Its guardrail masks every text in `check_pii`, whichever route it came by,
so that is the one place to look after. What a person wants blocked is still blocked while Presidio works.
"""

from __future__ import annotations

import re
from typing import Any

from litellm._logging import verbose_proxy_logger
from litellm.exceptions import BlockedPiiEntityError
from litellm.proxy.guardrails.guardrail_hooks.presidio import _OPTIONAL_PresidioPIIMasking as Masking

# What may be said of LiteLLM's message: the rest can hold what the server answered, and so the text itself.
_WHY = re.compile(r"HTTP \d{3}|[A-Z]\w*(?:Error|Timeout)\b")


class MaskOrPass(Masking):  # type: ignore[misc]  # LiteLLM ships no types
    """Masks as LiteLLM's guardrail does; lets texts pass while Presidio fails, and says so once in the log."""

    # LiteLLM looks for these names in the class itself: whether a guardrail knows every route, and whether it masks
    # streamed answers.
    apply_guardrail = Masking.apply_guardrail
    async_post_call_streaming_iterator_hook = Masking.async_post_call_streaming_iterator_hook

    def __init__(self, *, presidio_filter_scope: str = "input", **params: Any) -> None:
        # For LiteLLM's own guardrail an initializer makes one instance for requests and one for answers.
        if presidio_filter_scope == "output":
            params["event_hook"] = "post_call"
        elif presidio_filter_scope == "both":
            params["event_hook"] = ["pre_call", "post_call"]  # without the latter streamed answers are not masked
        super().__init__(apply_to_output=presidio_filter_scope in {"output", "both"}, **params)
        self._failing = ""
        self._passed = 0

    async def check_pii(
        self,
        text: str,
        output_parse_pii: bool,  # noqa: FBT001 - LiteLLM's signature
        presidio_config: Any,
        request_data: dict[str, Any],
    ) -> str:
        """The masked text, or the text itself when Presidio fails.

        A request that says itself how it is to be analyzed is refused then: a client could make the analysis fail.
        """
        try:
            masked: str = await super().check_pii(text, output_parse_pii, presidio_config, request_data)
        except BlockedPiiEntityError:
            raise
        except Exception as error:
            if presidio_config or self.get_guardrail_dynamic_request_body_params(request_data):
                raise
            self._fails(str(error))
            return text
        # An empty text is not analyzed, and one without findings does not reach the anonymizer.
        if self._failing and text.strip() and (self._failing == "analyzer" or masked != text):
            self._works_again()
        return masked

    def _fails(self, message: str) -> None:
        self._passed += 1
        if self._failing:
            return
        self._failing = "anonymizer" if "anonymiz" in message else "analyzer"
        why = _WHY.search(message)
        verbose_proxy_logger.error(
            "%s: Presidio's %s fails (%s). Texts go to the providers UNMASKED until it works: presidioOnFailure=pass",
            self.guardrail_name,
            self._failing,
            why[0] if why else "its answer cannot be used",
        )

    def _works_again(self) -> None:
        verbose_proxy_logger.error(
            "%s: Presidio masks again; %d texts went out unmasked", self.guardrail_name, self._passed
        )
        self._failing, self._passed = "", 0
