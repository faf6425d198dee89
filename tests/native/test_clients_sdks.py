"""The libraries that the seeds use: LiteLLM's own SDK and LangChain, with `user` where seed 003 puts it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import litellm
import pytest
from langchain_core.messages import HumanMessage
from langchain_litellm import ChatLiteLLM
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from support.stack import eventually

if TYPE_CHECKING:
    from support.stack import Gateway

_HELLO = [{"role": "user", "content": "Hello!"}]
_REPLY = "Hello from your LLM gateway"


def _saw(stack: Gateway, customer: str) -> bool:
    """Did the gateway account a call to this customer?"""
    return stack.api("GET", "/customer/info", params={"end_user_id": customer}).status_code == 200


def _fresh() -> list[HumanMessage]:
    return [HumanMessage(f"Hello! {uuid4()}")]


@pytest.mark.parametrize("provider", ["openai", "litellm_proxy"])
@pytest.mark.parametrize("path", ["/v1", ""])
def test_litellm_sdk_completion_and_embedding(stack: Gateway, path: str, provider: str) -> None:
    to = {"api_base": stack.url + path, "api_key": stack.key}
    chat = litellm.completion(model=f"{provider}/demo-chat", messages=_HELLO, **to)
    stream = litellm.completion(model=f"{provider}/demo-chat", messages=_HELLO, stream=True, **to)
    embedding = litellm.embedding(model=f"{provider}/demo-embed", input=["Hello!"], **to)

    assert chat.choices[0].message.content.startswith(_REPLY)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream).startswith(_REPLY)
    assert embedding.data[0]["embedding"] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_langchain_chat_openai_with_user_at_construction(stack: Gateway) -> None:
    customer = f"langchain-{uuid4()}"
    model = ChatOpenAI(model="demo-chat", base_url=stack.url + "/", api_key=stack.key, model_kwargs={"user": customer})

    assert model.invoke(_fresh()).content.startswith(_REPLY)
    assert "".join(chunk.content for chunk in model.stream(_fresh())).startswith(_REPLY)
    eventually(lambda: _saw(stack, customer), what="the customer's account")


def test_langchain_chat_openai_with_user_at_invocation(stack: Gateway) -> None:
    customer = f"langchain-{uuid4()}"
    model = ChatOpenAI(model="demo-chat", base_url=stack.url, api_key=stack.key)

    assert model.invoke(_fresh(), user=customer).content.startswith(_REPLY)
    eventually(lambda: _saw(stack, customer), what="the customer's account")


# litellm_proxy/, because LiteLLM's SDK drops `user` without a word when openai/ names a model it does not know.
def test_langchain_chat_litellm_with_user_at_construction(stack: Gateway) -> None:
    customer = f"langchain-{uuid4()}"
    model = ChatLiteLLM(
        model="litellm_proxy/demo-chat", api_base=stack.url, api_key=stack.key, model_kwargs={"user": customer}
    )

    assert model.invoke(_fresh()).content.startswith(_REPLY)
    eventually(lambda: _saw(stack, customer), what="the customer's account")


def test_langchain_chat_litellm_with_user_at_invocation(stack: Gateway) -> None:
    customer = f"langchain-{uuid4()}"
    model = ChatLiteLLM(model="litellm_proxy/demo-chat", api_base=stack.url, api_key=stack.key)

    assert model.invoke(_fresh(), user=customer).content.startswith(_REPLY)
    eventually(lambda: _saw(stack, customer), what="the customer's account")


def test_langchain_no_longer_takes_model_kwargs_at_invocation(stack: Gateway) -> None:
    """Seed 003's other spelling, `invoke(messages, model_kwargs={"user": …})`: docs/connect.md says what to write."""
    model = ChatOpenAI(model="demo-chat", base_url=stack.url, api_key=stack.key)

    with pytest.raises(TypeError, match="model_kwargs"):
        model.invoke(_fresh(), model_kwargs={"user": "HyperUser"})


def test_langchain_embeddings(stack: Gateway) -> None:
    model = OpenAIEmbeddings(
        model="demo-embed", base_url=stack.url, api_key=stack.key, check_embedding_ctx_length=False
    )

    assert model.embed_documents(["one", "two"])[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
