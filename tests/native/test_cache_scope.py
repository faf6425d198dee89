"""The hook that parts the cache, by itself: what a request may say, and what becomes of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def hook():
    """The hook's module. It imports LiteLLM, which would ask for its price table elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        from llm_gateway.hooks import cache_scope

        yield cache_scope


def caller(key="hash", team=None, user=None):
    return SimpleNamespace(api_key=key, team_id=team, user_id=user)


async def confined(scope, auth, data, call_type="acompletion"):
    await scope.async_pre_call_hook(auth, None, data, call_type)
    return data


def scoped(scope, auth, data=None, call_type="acompletion"):
    coroutine = confined(scope, auth, {} if data is None else data, call_type)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


def test_keys_and_teams_have_namespaces_that_tell_nothing(hook):
    first = scoped(hook.by_key, caller("hash-one"))["cache"]["namespace"]
    assert first == scoped(hook.by_key, caller("hash-one", team="t"))["cache"]["namespace"]
    assert first != scoped(hook.by_key, caller("hash-two"))["cache"]["namespace"]
    assert "hash-one" not in first
    assert ":" not in first
    team = scoped(hook.by_team, caller("hash-one", team="t"))["cache"]["namespace"]
    assert team == scoped(hook.by_team, caller("hash-two", team="t"))["cache"]["namespace"]
    assert team != scoped(hook.by_team, caller("hash-one", team="u"))["cache"]["namespace"]
    assert scoped(hook.by_team, caller("hash-one"))["cache"]["namespace"] == first
    people = [scoped(hook.by_key, caller(None, user=name))["cache"]["namespace"] for name in ("ann", "bob", "ann")]
    assert people[0] == people[2] != people[1]


@pytest.mark.parametrize(
    ("data", "namespace", "rest"),
    [
        ({}, "mine", {}),
        ({"cache": {"namespace": "x", "ttl": 5}}, "mine:x", {"ttl": 5}),
        ({"cache": {"no-cache": True}, "metadata": {"redis_namespace": "y"}}, "mine:y", {"no-cache": True}),
        ({"cache": True, "metadata": None}, "mine", {}),
        ({"cache": {"namespace": "other:mine"}}, "mine:other:mine", {}),
    ],
)
def test_a_clients_namespace_is_within_its_own(hook, data, namespace, rest):
    hook.confine(data, "mine")
    assert data["cache"] == {**rest, "namespace": namespace}


def test_a_client_cannot_name_an_entry(hook):
    data = {"cache_key": "k", "preset_cache_key": "k", "litellm_params": {"preset_cache_key": "k", "other": 1}}
    hook.confine(data, "mine")
    assert data == {"cache": {"namespace": "mine"}, "litellm_params": {"other": 1}}
    only = {"litellm_params": {"preset_cache_key": "k"}}
    hook.confine(only, "mine")
    assert only == {"cache": {"namespace": "mine"}}


def test_what_is_not_cached_is_left_alone_and_what_becomes_a_chat_is_not(hook):
    from litellm.types.caching import DEFAULT_CACHING_SUPPORTED_CALL_TYPES

    assert scoped(hook.by_key, caller(), {"a": 1}, "pass_through_endpoint") == {"a": 1}
    for call_type in DEFAULT_CACHING_SUPPORTED_CALL_TYPES:
        assert "metadata" not in scoped(hook.by_key, caller(), {}, call_type)
        assert scoped(hook.by_key, caller(), {}, call_type)["cache"]
    data = scoped(hook.by_key, caller(), {"metadata": {"a": 1}}, "agenerate_content")
    assert data["metadata"] == {"a": 1, "redis_namespace": data["cache"]["namespace"]}
