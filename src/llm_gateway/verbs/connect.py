"""connect: what a client needs, in the form its tool takes."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from llm_gateway.dotenv import quote
from llm_gateway.results import Result
from llm_gateway.services.gateway import client_key
from llm_gateway.verbs import context as contexts

if TYPE_CHECKING:
    from llm_gateway.services.base import Stack
    from llm_gateway.verbs.context import Context

FORMATS = ("shell", "dotenv", "curl", "python")


def curl_line(stack: Stack, model: str) -> str:
    """One line for a shell that asks `model` for a chat completion."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    return (
        f"curl -sS --noproxy '*' {stack.public_url}/v1/chat/completions -H 'Content-Type: application/json' "
        f"-H {shlex.quote(f'Authorization: Bearer {client_key(stack)}')} -d {shlex.quote(body)}"
    )


def _python(stack: Stack, model: str) -> str:
    return (
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{stack.public_url}/v1", api_key="{client_key(stack)}")\n'
        "answer = client.chat.completions.create(\n"
        f'    model="{model}", messages=[{{"role": "user", "content": "Hello!"}}]\n'
        ")\n"
        "print(answer.choices[0].message.content)"
    )


def connect(context: Context, *, form: str = "shell") -> Result:
    """The verb: base URL and key as `form`; works whether or not the gateway runs.

    Raises:
        InputError: an unreadable `.env` or config.
    """
    from llm_gateway.verbs.summary import first_chat_model  # noqa: PLC0415 - summary shows curl_line

    stack = contexts.running_stack(context) or contexts.planned_stack(context)
    variables = {
        "OPENAI_BASE_URL": f"{stack.public_url}/v1",
        "OPENAI_API_KEY": client_key(stack),
    }
    model = first_chat_model(stack)
    texts = {
        "shell": lambda: "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        "dotenv": lambda: "\n".join(f"{name}={quote(name, value)}" for name, value in variables.items()),
        "curl": lambda: curl_line(stack, model),
        "python": lambda: _python(stack, model),
    }
    data = {"base_url": variables["OPENAI_BASE_URL"], "key": client_key(stack), "url": stack.public_url, "model": model}
    return Result("connect", data, texts[form]())
