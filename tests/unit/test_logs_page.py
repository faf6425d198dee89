"""storePrompts: what it adds to the config, and what a person is told, from plans alone."""

import asyncio

import pytest

from llm_gateway.errors import InputError
from llm_gateway.hooks.stored_prompts import NOT_KEPT, masked_only
from llm_gateway.services import wiring
from llm_gateway.services.logs_page import HOOK
from unit.test_wiring import PRESIDIO, effective, stack_for

ON = {"store_prompts": "true", "database": "true"}


def test_prompts_are_kept_for_seven_days_and_cleaned_up_by_the_clock(tmp_path):
    general = effective(tmp_path, {}, flags=ON)["general_settings"]
    assert general["store_prompts_in_spend_logs"] is True
    assert general["maximum_spend_logs_retention_period"] == "7d"
    assert general["maximum_spend_logs_cleanup_cron"] == "*/10 * * * *"
    assert "store_prompts_in_spend_logs" not in effective(tmp_path, {}, flags={"database": "true"})["general_settings"]


@pytest.mark.parametrize(
    "config",
    [
        {"litellm_settings": {"callbacks": ["presidio"]}},
        {"guardrails": [{"guardrail_name": "x", "litellm_params": {"guardrail": "presidio", "mode": "pre_call"}}]},
    ],
)
def test_only_masked_text_is_kept_where_anything_masks(tmp_path, config):
    assert HOOK in effective(tmp_path, config, flags=ON)["litellm_settings"]["callbacks"]


def test_only_masked_text_is_kept_with_a_presidio_of_ones_own(tmp_path):
    flags = {**ON, "enable_presidio": "true"}
    assert HOOK in effective(tmp_path, {}, flags=flags, process=PRESIDIO)["litellm_settings"]["callbacks"]
    assert HOOK not in str(effective(tmp_path, {}, flags=ON))


@pytest.mark.parametrize(
    ("general", "flags", "says"),
    [
        ({}, ON, "The Logs page keeps prompts for 7d. Calls older than that are deleted"),
        ({"maximum_spend_logs_retention_period": "1d"}, ON, "keeps prompts for 1d"),
        ({"maximum_spend_logs_retention_period": None}, ON, "kept for ever"),
        ({"store_prompts_in_spend_logs": False}, ON, "has no effect"),
        ({}, {**ON, "as_is": "true"}, "has no effect"),
        ({}, {"database": "true"}, ""),
    ],
)
def test_what_a_person_is_told(tmp_path, general, flags, says):
    notes = " ".join(wiring.notes(stack_for(tmp_path, {"general_settings": general}, flags=flags)))
    assert says in notes
    assert bool(says) == ("rompts" in notes)


def test_without_a_database_it_is_refused(tmp_path):
    with pytest.raises(InputError, match="E379"):
        stack_for(tmp_path, {}, flags={"store_prompts": "true"})


def logged(*, guardrails, body, call_type="acompletion"):
    """What is left of a call for LiteLLM's writer: the request's body, and the answer."""
    payload = {"guardrail_information": guardrails, "response": {"secret": 1}, "messages": "secret"}
    kwargs = {"standard_logging_object": payload, "litellm_params": {"proxy_server_request": {"body": body}}}
    after, result = asyncio.run(masked_only.async_logging_hook(kwargs, "answer", call_type))
    assert result == "answer"
    assert "secret" not in str(after["standard_logging_object"])
    return after["litellm_params"]["proxy_server_request"]["body"]


MASKED = [{"guardrail_provider": "presidio", "guardrail_status": "success", "guardrail_mode": "pre_call"}]


def test_nothing_is_kept_unless_a_guardrail_masked_it_before_the_call():
    body = {"model": "m", "messages": [{"role": "user", "content": "text", "name": "n"}], "tools": ["secret"]}
    kept = {"model": "m", "messages": [{"role": "user", "content": "text"}]}
    assert logged(guardrails=MASKED, body=body) == kept
    nothing = {"model": "m", "text": NOT_KEPT}
    for change in ({"guardrail_provider": "x"}, {"guardrail_status": "failed"}, {"guardrail_mode": "post_call"}):
        assert logged(guardrails=[{**MASKED[0], **change}], body=body) == nothing
    # presidioOnFailure=pass: one of two texts could not be masked.
    failed = {**MASKED[0], "guardrail_status": "guardrail_failed_to_respond"}
    assert logged(guardrails=[*MASKED, failed], body=body) == nothing
    assert logged(guardrails=None, body=body) == nothing
    assert logged(guardrails=MASKED, body=body, call_type="aimage_generation") == nothing


def test_parts_that_are_no_text_are_not_kept():
    parts = [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "secret"}}]
    body = {"messages": [{"role": "user", "content": parts}, {"role": "tool", "content": {"secret": 1}}, 7]}
    kept = logged(guardrails=MASKED, body=body)
    assert "secret" not in str(kept)
    assert kept["messages"][0]["content"][0] == {"type": "text", "text": "t"}
