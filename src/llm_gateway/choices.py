"""Options and settings: what can be chosen, and which source a value came from.

Precedence (DESIGN section 5): flag > `LLM_GATEWAY_*` variable > `state/options.json` > default. An empty variable
chooses nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_gateway.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Value = bool | int | str
_NEAR_MISS = 0.94  # a letter too many or too few in a name of this length
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that can be chosen.

    Attributes:
        id: camelCase name (`enableRedis`), the key in `state/options.json`.
        kind: `boolean`, `integer` or `string`.
        default: value when nobody chose.
        description: one sentence.
        allowed: the only values a string may have; empty: any.
        minimum, maximum: range of an integer, both ends included.
        remembered: kept in `state/options.json` once chosen.
        expects: answers "" for a good text, else what is allowed.
    """

    id: str
    kind: str
    default: Value
    description: str
    allowed: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 2**31
    remembered: bool = True
    expects: Callable[[str], str] = lambda _text: ""

    @property
    def words(self) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", self.id).lower()

    @property
    def flag(self) -> str:
        """`--enable-redis`."""
        return f"--{self.words}"

    @property
    def parameter(self) -> str:
        """`enable_redis`, the name click passes."""
        return self.words.replace("-", "_")

    @property
    def variable(self) -> str:
        """`LLM_GATEWAY_ENABLE_REDIS`."""
        return f"LLM_GATEWAY_{self.parameter.upper()}"

    def parse(self, raw: object, *, source: str) -> Value:
        """`raw` as a value of this choice.

        Raises:
            InputError: E105, not such a value; names the source and what is allowed.
        """
        if self.kind == "boolean":
            if isinstance(raw, bool):
                return raw
            word = str(raw).strip().lower()
            if word in _TRUE | _FALSE:
                return word in _TRUE
            raise self._bad(raw, source, "true or false")
        if self.kind == "integer":
            text = str(raw).strip()
            if re.fullmatch(r"\d{1,9}", text) and self.minimum <= int(text) <= self.maximum:
                return int(text)
            raise self._bad(raw, source, f"a whole number from {self.minimum} to {self.maximum}")
        text = str(raw).strip()
        if self.allowed and text not in self.allowed:
            raise self._bad(raw, source, " | ".join(self.allowed))
        if any(ord(character) < 32 for character in text):
            raise self._bad(raw, source, "text without control characters")
        if text and (allowed := self.expects(text)):
            raise self._bad(raw, source, allowed)
        return text

    def _bad(self, raw: object, source: str, allowed: str) -> InputError:
        return InputError(
            "E105",
            f"{self.id} cannot be {str(raw)!r} (from {source}).",
            cause=f"Allowed: {allowed}.",
            next=f"llm-gateway start {self.flag}{'' if self.kind == 'boolean' else ' VALUE'}",
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value and where it came from: `flag`, the variable's name, `state/options.json` or `default`."""

    value: Value
    source: str


class Choices:
    """Resolved choices by id: `choices["enableRedis"]`."""

    def __init__(self, chosen: Mapping[str, Chosen], catalogue: Sequence[Choice]) -> None:
        self._chosen = dict(chosen)
        self.catalogue = tuple(catalogue)

    def __getitem__(self, id: str) -> Value:  # noqa: A002
        return self._chosen[id].value

    def flag(self, id: str) -> bool:  # noqa: A002
        """A boolean choice."""
        return bool(self._chosen[id].value)

    def number(self, id: str) -> int:  # noqa: A002
        """An integer choice."""
        return int(self._chosen[id].value)

    def text(self, id: str) -> str:  # noqa: A002
        """A string choice."""
        return str(self._chosen[id].value)

    def source(self, id: str) -> str:  # noqa: A002
        return self._chosen[id].source

    def asked(self, id: str) -> bool:  # noqa: A002
        """Did somebody choose this, rather than leave it at its default?"""
        return self._chosen[id].source != "default"

    def remembered(self) -> dict[str, Value]:
        """What `state/options.json` should hold."""
        return {choice.id: self[choice.id] for choice in self.catalogue if choice.remembered and self.asked(choice.id)}

    def as_dict(self) -> dict[str, dict[str, Any]]:
        return {id_: {"value": c.value, "source": c.source} for id_, c in sorted(self._chosen.items())}


def resolve(
    catalogue: Sequence[Choice],
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    saved: Mapping[str, object],
) -> Choices:
    """Take each choice from the first source that has it.

    Args:
        catalogue: everything that can be chosen.
        flags: by `Choice.parameter`; None means not given.
        environ: process environment.
        saved: content of `state/options.json`.

    Raises:
        InputError: E105 for a bad value, E106 for a `LLM_GATEWAY_*` variable that is close to a known name.
    """
    _refuse_typos(catalogue, environ)
    chosen: dict[str, Chosen] = {}
    for choice in catalogue:
        flag, variable = flags.get(choice.parameter), environ.get(choice.variable, "")
        if flag is not None:
            chosen[choice.id] = Chosen(choice.parse(flag, source=choice.flag), "flag")
        elif variable.strip():
            chosen[choice.id] = Chosen(choice.parse(variable, source=choice.variable), choice.variable)
        elif choice.id in saved:
            where = "state/options.json"
            chosen[choice.id] = Chosen(choice.parse(saved[choice.id], source=where), where)
        else:
            chosen[choice.id] = Chosen(choice.default, "default")
    return Choices(chosen, catalogue)


def _refuse_typos(catalogue: Sequence[Choice], environ: Mapping[str, str]) -> None:
    from difflib import get_close_matches  # noqa: PLC0415 - only with unknown variables

    known = {choice.variable for choice in catalogue}
    for name in environ:
        if not name.startswith("LLM_GATEWAY_") or name in known:
            continue
        # Every LLM_GATEWAY_ENABLE_ variable is an option; of the others only a near miss is certainly one.
        enables = name.startswith("LLM_GATEWAY_ENABLE_")
        close = get_close_matches(name, sorted(known), n=1, cutoff=0.6 if enables else _NEAR_MISS)
        if enables or close:
            hint = f" Did you mean {close[0]}?" if close else ""
            raise InputError(
                "E106",
                f"{name} is not an option.{hint}",
                cause="The variable's name is misspelt, so what it asks for would silently not happen.",
                next=f"unset {name}, or see: llm-gateway plan",
            )
