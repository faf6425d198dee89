"""Keep credentials out of logs and messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

_HIDDEN = "***"
# Greedy up to the last "@" before a slash: passwords with an unescaped "@" are hidden whole.
_USERINFO = re.compile(r"(?<=://)[^\s/'\"<>]+(?=@)")
_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization['\"]?\s*[:=]\s*)(?:(basic|bearer)\s+)?[^\s'\"]+")
_NPM = re.compile(r"(?i)(_authToken|_auth|_password)(\s*[=:]\s*)\S+")
_QUERY = re.compile(r"(?i)([?&](?:token|key|secret|password|sig|signature|access_token)=)[^&\s'\"]+")
_TOO_SHORT_TO_SEARCH = 4


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without URL credentials, authorization headers, npm tokens and the given `secrets`."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    text = _USERINFO.sub(_HIDDEN, text)
    text = _HEADER.sub(lambda found: f"{found[1]}{found[2] + ' ' if found[2] else ''}{_HIDDEN}", text)
    text = _NPM.sub(rf"\1\2{_HIDDEN}", text)
    return _QUERY.sub(rf"\1{_HIDDEN}", text)


def secrets_of(values: Iterable[str]) -> tuple[str, ...]:
    """Passwords (as written and percent-decoded) of every URL found in `values`, longest first.

    Tools print a URL's password on its own, too ("invalid token abc…"): searching for the literal
    text catches what no pattern can.
    """
    found: set[str] = set()
    for value in values:
        for word in value.split():
            for url in word.split(","):
                found.update(_passwords(url))
    return tuple(sorted((s for s in found if len(s) >= _TOO_SHORT_TO_SEARCH), key=len, reverse=True))


def _passwords(url: str) -> set[str]:
    if "@" not in url:
        return set()
    # uv names an index in front: corp=https://…
    if "=" in url.partition("://")[0]:
        url = url.partition("=")[2]
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return set()
    # A token may stand as the user name with no password ("https://TOKEN@host/").
    secret = password or user
    return {secret, unquote(secret)}
