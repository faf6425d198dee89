"""Langfuse's first start without a browser: organization, project, keys and user from LANGFUSE_INIT_* variables.

Facts of langfuse/langfuse 4.16.0 (web/src/initialize.ts and env.mjs; executed): without LANGFUSE_INIT_ORG_ID nothing
of it is read; it only creates, so what exists keeps its password and its keys' secrets; a password of less than 8
characters leaves a server that answers 500 to everything; an e-mail address that its form check refuses ends it, as
does an encryption key that is not 64 hex digits. So everything is checked here, before `.env` is written.

The generated lines carry the prefix LANGFUSE_, because `.env` is everybody's; `container` gives the server's names.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_gateway import credentials
from llm_gateway.dotenv import Line
from llm_gateway.errors import InputError
from llm_gateway.services.base import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.services.base import Draft

KEYS = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
INIT = "LANGFUSE_INIT_"
PROJECT = "llm-gateway-project"
_SEEDED_KEYS = (f"{INIT}PROJECT_PUBLIC_KEY", f"{INIT}PROJECT_SECRET_KEY")
_USER = (f"{INIT}USER_EMAIL", f"{INIT}USER_PASSWORD")
_SHORTEST = 8
# The server's form of an address: a domain with a dot, ending in letters (zod's `email()`, which env.mjs uses).
_EMAIL = re.compile(r"(?!\.)(?!.*\.\.)[\w'+.-]*[\w+-]@([a-z0-9][a-z0-9-]*\.)+[a-z]{2,}", re.ASCII | re.IGNORECASE)
_SERVER_NAMES = {
    "LANGFUSE_NEXTAUTH_URL": "NEXTAUTH_URL",
    "LANGFUSE_NEXTAUTH_SECRET": "NEXTAUTH_SECRET",
    "LANGFUSE_SALT": "SALT",
    "LANGFUSE_ENCRYPTION_KEY": "ENCRYPTION_KEY",
    "LANGFUSE_TELEMETRY_ENABLED": "TELEMETRY_ENABLED",
    "LANGFUSE_AUTH_DISABLE_SIGNUP": "AUTH_DISABLE_SIGNUP",
}
# What the gateway's side of Langfuse turns into numbers; with other text LiteLLM answers every request with 500.
_NUMBERS = {
    "LANGFUSE_PROMPT_CACHE_DEFAULT_TTL_SECONDS": (r"\d+", "a whole number of seconds"),
    "LANGFUSE_TIMEOUT": (r"\d+(\.\d+)?", "a number of seconds"),
}


def _hex(prefix: str = "", *, size: int = 16) -> str:
    """Hex only: other characters in a URL break Langfuse's migrations."""
    return prefix + secrets.token_hex(size)


SECRETS = (
    Secret(KEYS[0], credentials.LANGFUSE_PUBLIC_KEY, lambda: _hex("pk-lf-")),
    Secret(KEYS[1], credentials.LANGFUSE_SECRET_KEY, lambda: _hex("sk-lf-")),
    Secret(_USER[1], credentials.LANGFUSE_PASSWORD, _hex),
    Secret("LANGFUSE_NEXTAUTH_SECRET", None, lambda: _hex(size=32)),
    Secret("LANGFUSE_SALT", None, lambda: _hex(size=32)),
    Secret("LANGFUSE_ENCRYPTION_KEY", None, lambda: _hex(size=32)),
)


def hand_made(draft: Draft) -> bool:
    """Are the gateway's keys a person's own, made in Langfuse or elsewhere?"""
    known = {credentials.LANGFUSE_PUBLIC_KEY, credentials.LANGFUSE_SECRET_KEY}
    return any(
        draft.environment.get(name) and not draft.rendered(name) and draft.environment.get(name) not in known
        for name in KEYS
    )


def lines(draft: Draft, *, url: str) -> tuple[Line, ...]:
    """The lines of `.env` for a server of the kit's own, whose UI people reach under `url`.

    Keys that a person made win, and are not seeded: Langfuse takes a seeded public key away from the project that
    it belongs to (executed), so traces would silently move to the seeded project.

    Raises:
        InputError: E370 to E377, with these values the server would not start, or not seed.
    """
    defaults = draft.choices.flag("startWithDefaults")
    own = hand_made(draft)
    keys = tuple(draft.environment.get(name) if own else draft.secret(name) for name in KEYS)
    seeded = ("", "") if own else keys
    email = credentials.LANGFUSE_EMAIL if defaults else "admin@llm-gateway.local"
    made = (
        Line(KEYS[0], keys[0], "Langfuse public key. Your own, with its secret key, from a project's settings wins."),
        Line(KEYS[1], keys[1], "Langfuse secret key."),
        Line(
            f"{INIT}ORG_ID", "llm-gateway-org", "Langfuse's first start makes all of these; later changes do nothing."
        ),
        Line(f"{INIT}ORG_NAME", "LLM Gateway", "Name of the organization."),
        Line(f"{INIT}PROJECT_ID", PROJECT, "The project that the calls are traced in."),
        Line(f"{INIT}PROJECT_NAME", "LLM Gateway", "Name of the project."),
        Line(_SEEDED_KEYS[0], seeded[0], "The project's keys, as the gateway has them; empty: you made them yourself."),
        Line(_SEEDED_KEYS[1], seeded[1], "Its secret key."),
        Line(_USER[0], email, "Who logs in to Langfuse first, and owns the organization."),
        Line(f"{INIT}USER_NAME", "admin", "Name of that user."),
        Line(_USER[1], draft.secret(_USER[1]), "Password of that user: 8 characters or more."),
        Line("LANGFUSE_NEXTAUTH_URL", url, "Address of Langfuse's UI, as browsers reach it."),
        Line("LANGFUSE_NEXTAUTH_SECRET", draft.secret("LANGFUSE_NEXTAUTH_SECRET"), "Signs Langfuse's sessions."),
        Line("LANGFUSE_SALT", draft.secret("LANGFUSE_SALT"), "Hashes Langfuse's API keys. Never change it."),
        Line(
            "LANGFUSE_ENCRYPTION_KEY",
            draft.secret("LANGFUSE_ENCRYPTION_KEY"),
            "Encrypts what Langfuse stores: 64 hex digits. Never change it.",
        ),
        Line("LANGFUSE_TELEMETRY_ENABLED", "false", "true: Langfuse reports its use to its makers."),
        Line("LANGFUSE_AUTH_DISABLE_SIGNUP", "true", "false: whoever reaches Langfuse may make an account."),
    )
    validate({line.name: draft.environment.get(line.name) or line.value for line in made})
    return made


def container(values: Mapping[str, str]) -> dict[str, str]:
    """The variables of Langfuse's containers that follow from `.env`, under the server's names; empty ones left out."""
    named = {_SERVER_NAMES.get(name, name): value for name, value in values.items()}
    wanted = (name for name in named if name.startswith(INIT) or name in _SERVER_NAMES.values())
    return {name: named[name] for name in wanted if named[name]}


def validate(values: Mapping[str, str]) -> None:
    """Refuse what would keep the server from starting, or from making what it should.

    Raises:
        InputError: E370 to E377.
    """
    said = {name: value for name, value in values.items() if value}
    _pairs(said)
    _user(said)
    _gate(said)
    _server(said)


def refuse_bad_numbers(values: Mapping[str, str]) -> None:
    """Refuse variables of the gateway's side with which every request would fail (LiteLLM 1.106.2).

    Raises:
        InputError: E378.
    """
    for name, (form, words) in _NUMBERS.items():
        value = values.get(name, "").strip()
        if value and not re.fullmatch(form, value):
            raise InputError(
                "E378",
                f"{name} is {value!r}, and must be {words}.",
                cause="LiteLLM cannot make its Langfuse logger then, and answers every request with 500.",
                next=f"Mend {name} in .env, or remove it",
            )


def _pairs(said: Mapping[str, str]) -> None:
    for names in (_SEEDED_KEYS, KEYS):
        there, missing = _halves(said, names)
        if there and missing:
            raise InputError(
                "E373",
                f"{there[0]} is set, and {missing[0]} is not.",
                cause="A public key is of use with its secret key only, and Langfuse seeds both or none.",
                next=f"Set {missing[0]} in .env, too, or remove {there[0]}: a new pair is drawn",
            )
    there, missing = _halves(said, _USER)
    if there and missing:
        raise InputError(
            "E372",
            f"{there[0]} is set, and {missing[0]} is not.",
            cause="Langfuse makes its first user from both.",
            next=f"Set {missing[0]} in .env, too, or remove {there[0]}",
        )


def _halves(said: Mapping[str, str], names: tuple[str, str]) -> tuple[list[str], list[str]]:
    """Which of the two are set, and which are not."""
    return [name for name in names if name in said], [name for name in names if name not in said]


def _user(said: Mapping[str, str]) -> None:
    email, password = said.get(_USER[0], ""), said.get(_USER[1], "")
    if password and len(password) < _SHORTEST:
        raise InputError(
            "E370",
            f"{_USER[1]} has {len(password)} characters, and Langfuse takes {_SHORTEST} or more.",
            cause="A server that was started with it answers 500 to everything.",
            next=f"Choose a longer one in .env, or remove {_USER[1]}: one is drawn",
        )
    if email and not _EMAIL.fullmatch(email):
        raise InputError(
            "E371",
            f"{_USER[0]} is {email!r}, which Langfuse does not take for an e-mail address.",
            cause="It wants a domain with a dot, as admin@example.com; its server ends at such an address.",
            next=f"Mend {_USER[0]} in .env",
        )


def _gate(said: Mapping[str, str]) -> None:
    given = sorted(name for name in said if name.startswith(INIT))
    for gate, need in ((f"{INIT}ORG_ID", given), (f"{INIT}PROJECT_ID", [n for n in _SEEDED_KEYS if n in said])):
        if need and gate not in said:
            raise InputError(
                "E374",
                f"{gate} is not set, so Langfuse ignores {', '.join(need)}.",
                cause="Langfuse makes keys in a project only, and everything in an organization only.",
                next=f"Set {gate} in .env, as {gate}=llm-gateway",
            )


def _server(said: Mapping[str, str]) -> None:
    key, url = said.get("LANGFUSE_ENCRYPTION_KEY", ""), said.get("LANGFUSE_NEXTAUTH_URL", "")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", key):
        raise InputError(
            "E375",
            "LANGFUSE_ENCRYPTION_KEY is not 64 hex digits.",
            cause="Langfuse's server does not start with another key.",
            next="Before its first start remove the line: a key is drawn; later put the old key back",
        )
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise InputError(
            "E376",
            f"LANGFUSE_NEXTAUTH_URL is {url!r}, and must be the address of Langfuse's UI.",
            cause="Langfuse's server does not start with another value, or sends browsers elsewhere after a login.",
            next="Set it in .env to the address that browsers use, as http://localhost:3000",
        )
    for name in ("LANGFUSE_NEXTAUTH_SECRET", "LANGFUSE_SALT"):
        if name not in said:
            raise InputError(
                "E377",
                f"{name} is not set.",
                cause="Langfuse's server does not start without it.",
                next=f"Remove the line {name} from .env: a value is drawn",
            )
