"""What must survive a restart: models added at run time, keys, and what they spent."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import openai

from support.stack import eventually

if TYPE_CHECKING:
    from support.stack import Gateway


def test_a_model_added_by_model_new_answers_before_and_after_a_restart(stack: Gateway) -> None:
    name = f"added-{uuid4()}"
    params = {"model": "openai/added", "api_key": "none", "mock_response": "Added at run time."}
    added = stack.api("POST", "/model/new", json={"model_name": name, "litellm_params": params})
    assert added.status_code == 200, added.text
    key = stack.new_key()

    def chat() -> str:
        try:
            answer = stack.client(key).chat.completions.create(
                model=name, messages=[{"role": "user", "content": "Hello!"}]
            )
        except openai.APIStatusError:  # another worker, which reads the database in a moment
            return ""
        return str(answer.choices[0].message.content)

    assert eventually(chat, what="an answer of the added model") == "Added at run time."
    stack.restart()

    assert eventually(chat, what="an answer after the restart") == "Added at run time."
    assert name in {model.id for model in stack.client(key).models.list()}
