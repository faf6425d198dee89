"""Each key, or each team, has response-cache entries of its own.

LiteLLM 1.106.2 looks an answer up by a hash of the request alone: one key's answers are served to every other key (its
semantic caches apart, which know the key). A request may name a namespace, which stands before the hash in the entry's
name; this hook puts one there that no client can choose. `_add_namespace_to_cache_key` in `litellm/caching/caching.py`
reads it, and the hook runs before the first look-up on every route (tried on each).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from litellm.integrations.custom_logger import CustomLogger
from litellm.types.caching import DEFAULT_CACHING_SUPPORTED_CALL_TYPES

if TYPE_CHECKING:
    from collections.abc import MutableMapping

Scope = Literal["key", "team"]
# Google's routes are no kind of call that is cached, but with another provider's model they become a chat. Of what a
# request says only its metadata gets there.
_BY_METADATA = frozenset({"agenerate_content", "agenerate_content_stream"})
_CACHED = frozenset(DEFAULT_CACHING_SUPPORTED_CALL_TYPES) | _BY_METADATA
# A whole entry's name. LiteLLM takes it from the request's body as it is: a client could read and write any entry that
# it can name, past every namespace (tried).
_ENTRY = ("cache_key", "preset_cache_key")


class CacheScope(CustomLogger):  # type: ignore[misc]
    """Puts the caller's scope before whatever namespace a request names."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: MutableMapping[str, Any], call_type: str
    ) -> None:
        """Called by LiteLLM after authentication, before it looks the request up; changes `data` in place."""
        del cache
        if call_type in _CACHED:
            confine(data, _digest(*_caller(user_api_key_dict, self.scope)), metadata=call_type in _BY_METADATA)


def confine(data: MutableMapping[str, Any], scope: str, *, metadata: bool = False) -> None:
    """Let a request reach entries of `scope` only; a namespace of the client's becomes one within it.

    A client's other wishes about the cache (`no-cache`, `ttl`, …) stay. A `cache` that is no object, which LiteLLM
    refuses, counts as none.

    Args:
        data: the request; changed in place.
        scope: a name without a colon.
        metadata: name it in LiteLLM's metadata, too. Elsewhere that may be the client's own, which a provider gets.
    """
    said, known = data.get("cache"), data.get("metadata")
    controls = dict(said) if isinstance(said, dict) else {}
    within = controls.get("namespace") or (known.get("redis_namespace") if isinstance(known, dict) else None)
    controls["namespace"] = f"{scope}:{within}" if within else scope
    data["cache"] = controls
    if metadata:
        data["metadata"] = {**(known or {}), "redis_namespace": controls["namespace"]}
    params = data.get("litellm_params")
    for place in (data, params if isinstance(params, dict) else {}):
        for name in _ENTRY:
            place.pop(name, None)
    if params == {}:  # else the provider gets it, and refuses it
        del data["litellm_params"]


def _caller(auth: Any, scope: Scope) -> tuple[str, str]:
    """Whose entries: the team's where that is the scope and there is one, else the key's, else the user's."""
    if scope == "team" and auth.team_id:
        return "team", str(auth.team_id)
    if auth.api_key:
        return "key", str(auth.api_key)
    # Authentication without keys (JWT, custom_auth) knows people.
    return "user", str(auth.user_id or auth.team_id or "")


@lru_cache(maxsize=4096)
def _digest(kind: str, id_: str) -> str:
    """A short name that tells nothing: it stands in Redis and in the answer's x-litellm-cache-key."""
    return f"{kind}-{hashlib.blake2b(id_.encode(), digest_size=12).hexdigest()}"


by_key = CacheScope("key")
by_team = CacheScope("team")
