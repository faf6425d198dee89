"""Proof of masking: on every route what reached the upstream holds no personal data, and nothing when Presidio fails.

The latter is shown on a guardrail that asks the anonymizer to analyze (services/presidio_guardrail.py: SWAPPED), so
nobody else's requests suffer. The person is made up; the numbers are the usual examples.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_gateway import masking
from llm_gateway.names import PROBE
from llm_gateway.proofs.answers import answer_text, said
from llm_gateway.proofs.base import Evidence, NothingToProve, NotProven
from llm_gateway.services import presidio_guardrail as guardrail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from llm_gateway.probes import Probe
    from llm_gateway.proofs.bench import Bench
    from llm_gateway.services.base import Stack


@dataclass(frozen=True, slots=True)
class _Secret:
    """What a person calls it, one of its kind, a sentence with it, and the pieces none of which may leave."""

    word: str
    value: str
    sentence: str
    pieces: tuple[str, ...]


# By Presidio's name.
_SECRETS = {
    "PERSON": _Secret("name", "John Smith", "My name is {}.", ("John", "Smith")),
    "EMAIL_ADDRESS": _Secret("e-mail", "john.smith@example.com", "My mail is {}.", ("john.smith", "@example")),
    "PHONE_NUMBER": _Secret("phone", "+1 212-555-0123", "My phone number is {}.", ("212-555", "0123")),
    "CREDIT_CARD": _Secret("card number", "4111 1111 1111 1111", "My credit card is {}.", ("4111", "1111 1111")),
    "IBAN_CODE": _Secret("IBAN", "DE89370400440532013000", "My IBAN is {}.", ("DE89", "0532013000")),
}
_ANSWERS = ("chat", "stream")  # where LiteLLM masks answers
_MARKS = 2  # now and then the mark of a call is taken for personal data
_NOTHING = "llm-gateway plan shows what the config holds"


def prove(bench: Bench, *, health: Callable[[Stack, Mapping[str, Any]], Probe]) -> Evidence:
    """Send made-up personal data over every route, and look at what arrived.

    Args:
        bench: with the gateway.
        health: of the room: does the Presidio of a guardrail's parameters answer, each address by its name?
    """
    config = bench.config
    actions = _actions(config)
    if not guardrail.guardrails(config):
        raise NotProven(
            "Presidio runs, but nothing is masked for certain: no guardrail of the config uses it.",
            cause="--as-is leaves out the guardrail that the kit adds; LiteLLM's callback presidio fails open.",
            next="llm-gateway restart --no-as-is, or add a guardrail with guardrail: presidio to the config",
        )
    if not actions:
        raise NothingToProve(_why_nothing(config))
    proving = _Proving(bench, actions, [health(bench.stack, params) for params in guardrail.guardrails(config)])
    routes, answers = proving.routes(), proving.answers()
    blocked = proving.blocks()
    refused = proving.failure()
    unwanted = [name for name in _SECRETS if name not in actions]
    texts = [f"no {_listed(proving.masked)} reached the upstream ({', '.join(routes)})" if proving.masked else ""]
    texts += [f"none reached the caller in an answer ({', '.join(answers)})" if answers else ""]
    texts += [f"{_listed(blocked)} is refused (BLOCK)" if blocked else ""]
    texts += [f"not looked for: {_listed(unwanted)}" if unwanted else ""]
    texts += [_on_failure(refused)]
    data = {
        "routes": routes,
        "answers": answers,
        "masked": proving.masked,
        "blocked": blocked,
        "not_looked_for": unwanted,
    }
    return Evidence("; ".join(text for text in texts if text), {**data, "status_when_presidio_fails": refused})


def _why_nothing(config: Mapping[str, Any]) -> str:
    if any(guardrail.masks(params) and params.get("default_on") is True for params in guardrail.guardrails(config)):
        words = _listed(list(_SECRETS))
        return f"The config's guardrail looks for no {words}; what else it looks for is not shown."
    return "The config's guardrail masks only requests that name it, or only what is logged."


def _on_failure(status: int | None) -> str:
    if status is None:
        return "not shown: what happens when Presidio fails"
    if status == 200:
        return "when Presidio fails texts pass UNMASKED: presidioOnFailure=pass"
    return f"when Presidio fails nothing leaves ({status})"


def _sentence(entity: str) -> str:
    return _SECRETS[entity].sentence.format(_SECRETS[entity].value)


def _listed(entities: list[str]) -> str:
    words = [_SECRETS[name].word for name in entities]
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _actions(config: Mapping[str, Any]) -> dict[str, str]:
    """What the guardrails of every request do about each of the secrets; a missing one is not looked for.

    LiteLLM's callback `presidio`, which looks for everything, is not among them: it lets text pass when Presidio fails.
    """
    found: dict[str, str] = {}
    for params in guardrail.guardrails(config):
        if not guardrail.masks(params) or params.get("default_on") is not True:
            continue
        wanted = params.get("pii_entities_config") or dict.fromkeys(masking.ENTITIES, "MASK")
        for name in _SECRETS:
            if name in wanted and found.get(name) != "BLOCK":
                found[name] = str(wanted[name])
    return found


@dataclass(frozen=True)
class _Proving:
    """One proof on its way."""

    bench: Bench
    actions: Mapping[str, str]
    health: Sequence[Probe]

    @property
    def masked(self) -> list[str]:
        return [name for name in _SECRETS if self.actions.get(name) == "MASK"]

    def routes(self) -> list[str]:
        """The names of the routes, after nothing was found in what they forwarded."""
        text = " ".join(_sentence(name) for name in _SECRETS if self.actions.get(name) != "BLOCK")
        with ThreadPoolExecutor(len(_ROUTES)) as pool:
            leaks = dict(zip(_ROUTES, pool.map(lambda name: self._leaked(name, text), _ROUTES), strict=True))
        found = [name for name in self.masked if any(name in leaked for leaked in leaks.values())]
        if found:
            raise self._leak(found, [route for route, leaked in leaks.items() if leaked])
        return list(leaks)

    def _leaked(self, route: str, text: str) -> list[str]:
        """What reached the upstream over a route."""
        path, body = _ROUTES[route]
        for _ in range(_MARKS):
            marker = self.bench.nonce()
            answer = self.bench.post(path, body(f"Reference {marker}. {text}"))
            if answer.status_code != 200:
                raise self._refused(route, answer)
            seen = self.bench.capture.seen(marker)
            if seen:
                break
        else:
            raise NotProven(
                f"The {route} call was answered, but nothing of it reached the upstream.",
                cause="A cache answered it, or the mark of the call was taken for personal data.",
                next="llm-gateway verify pii",
            )
        sent = "".join(request.text for request in seen)
        return [name for name in self.masked if any(piece in sent for piece in _SECRETS[name].pieces)]

    def answers(self) -> list[str]:
        """The routes whose answers are masked, too, each after nothing was found in one; none with scope `request`."""
        masking_answers = [
            params
            for params in guardrail.guardrails(self.bench.config)
            if guardrail.masks(params)
            and params.get("default_on") is True
            # LiteLLM 1.106.2 takes a scope that is not said for `both`.
            and params.get("presidio_filter_scope", "both") == "both"
        ]
        if not masking_answers or not self.masked:
            return []
        text = " ".join(_sentence(name) for name in self.masked)
        for route in _ANSWERS:
            path, body = _ROUTES[route]
            marker = self.bench.nonce()
            self.bench.capture.say(marker, text)
            answer = self.bench.post(path, body(f"Reference {marker}."))
            if answer.status_code != 200:
                raise self._refused(route, answer)
            said_there = answer_text(answer)
            found = [n for n in self.masked if any(piece in said_there for piece in _SECRETS[n].pieces)]
            if found:
                what = _listed(found)
                raise self._because(f"{what[0].upper()}{what[1:]} reached the caller in an answer ({route}).", *found)
        return list(_ANSWERS)

    def blocks(self) -> list[str]:
        """The entities with BLOCK, each after a call with it was refused."""
        blocked = [name for name in _SECRETS if self.actions.get(name) == "BLOCK"]
        for name in blocked:
            marker = self.bench.nonce()
            answer = self._chat(f"Reference {marker}. {_sentence(name)}")
            if answer.status_code == 200 or self.bench.capture.seen(marker):
                what = _SECRETS[name].word
                raise self._because(f"A call with a {what} was answered, though {name} is to be blocked.", name)
            if name not in answer.text:
                raise self._refused("chat", answer)
        return blocked

    def failure(self) -> int | None:
        """The status of a call for which the analyzer cannot be used; None where that cannot be shown."""
        params = guardrail.swapped(self.bench.config)
        if params is None:
            return None
        marker = self.bench.nonce()
        answer = self._chat(f"Reference {marker}.", guardrails=[guardrail.SWAPPED])
        passed = bool(self.bench.capture.seen(marker))
        if passed != guardrail.is_passing(params):
            words = "reached the upstream" if passed else f"was refused ({answer.status_code})"
            raise NotProven(
                f"A text that could not be analyzed {words}.",
                cause="The guardrail has no pii_entities_config: LiteLLM then lets text pass when Presidio fails."
                if passed
                else f"presidioOnFailure is pass, but LiteLLM refused it: {said(answer)}",
                next=f"Add pii_entities_config to it; {_NOTHING}" if passed else "llm-gateway logs gateway",
            )
        if not passed and "presidio" not in answer.text.lower():
            raise self._refused("chat", answer)  # for another reason: that says nothing of Presidio
        return answer.status_code

    def _chat(self, text: str, **body: Any) -> httpx.Response:
        return self.bench.chat(text, **body)

    def _refused(self, route: str, answer: httpx.Response) -> NotProven:
        """Why a call that only had to be masked was not answered."""
        return self._because(f"The {route} call was refused ({answer.status_code}): {said(answer)}")

    def _leak(self, entities: list[str], routes: list[str]) -> NotProven:
        some = len(entities) < len(self.masked)
        message = f"{_listed(entities)} reached the upstream unmasked ({', '.join(routes)})."
        return self._because(message[0].upper() + message[1:], *(entities if some else ()))

    def _because(self, message: str, *entities: str) -> NotProven:
        """With the cause: Presidio's state, or what it did not find."""
        data = {"entities": list(entities)}
        reason = next((reason for probe in self.health if (reason := probe())), "")
        where = self.bench.stack.placements["presidio"].where
        if reason:
            following = "llm-gateway status; llm-gateway logs presidio"
            if where != "native":
                following = "Mend PRESIDIO_ANALYZER_API_BASE and PRESIDIO_ANONYMIZER_API_BASE; llm-gateway restart"
            return NotProven(message, cause=f"Presidio cannot be used: {reason}.", next=following, data=data)
        if entities:
            cause = (
                f"Presidio works, but does not find {', '.join(entities)} in this text: its model or its recognizers."
            )
            return NotProven(message, cause=cause, next="A larger model: LLM_GATEWAY_PRESIDIO_LANGUAGES", data=data)
        return NotProven(
            message, cause="Presidio is healthy; LiteLLM's log says more.", next="llm-gateway logs gateway"
        )


def _messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _of(path: str, make: Callable[[str], dict[str, Any]]) -> tuple[str, Callable[[str], dict[str, Any]]]:
    return path, lambda text: {"model": PROBE, "cache": {"no-cache": True, "no-store": True}, **make(text)}


_ROUTES = {
    "chat": _of("/v1/chat/completions", lambda text: {"messages": _messages(text)}),
    "stream": _of("/v1/chat/completions", lambda text: {"messages": _messages(text), "stream": True}),
    "completions": _of("/v1/completions", lambda text: {"prompt": text}),
    "embeddings": _of("/v1/embeddings", lambda text: {"input": text}),
    "messages": _of("/v1/messages", lambda text: {"messages": _messages(text), "max_tokens": 16}),
    "responses": _of("/v1/responses", lambda text: {"input": text}),
}
