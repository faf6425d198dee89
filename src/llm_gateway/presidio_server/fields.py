"""Fields of a request body, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .web import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_T = TypeVar("_T")
_NUMBER = (int, float)


def field(body: Mapping[str, Any], name: str, kind: type[_T], words: str) -> _T | None:
    """The value of `name`, None when it is missing or null.

    Raises:
        Refused: 400, it is of another kind.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Refused(400, f"{name} must be {words}.")
    return value


def number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, _NUMBER) or isinstance(value, bool):
        raise Refused(400, f"{name} must be a number.")
    return float(value)


def strings(body: Mapping[str, Any], name: str) -> list[str] | None:
    value = field(body, name, list, "a list of strings")
    if value is not None and not all(isinstance(item, str) for item in value):
        raise Refused(400, f"{name} must be a list of strings.")
    return value


def objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]] | None:
    value = field(body, name, list, "a list of objects")
    if value is not None and not all(isinstance(item, dict) for item in value):
        raise Refused(400, f"{name} must be a list of objects.")
    return value
