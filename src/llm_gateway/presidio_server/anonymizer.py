"""The anonymizer: replaces what was found. Its routes, bodies and errors are those of the official container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from presidio_anonymizer import AnonymizerEngine, DeanonymizeEngine
from presidio_anonymizer.entities import InvalidParamError
from presidio_anonymizer.services.app_entities_convertor import AppEntitiesConvertor

from .fields import field, objects
from .web import Api, Refused, Request, Response, reply

if TYPE_CHECKING:
    from collections.abc import Mapping


class Anonymizer:
    """The handlers."""

    def __init__(self) -> None:
        self._masking = AnonymizerEngine()
        self._restoring = DeanonymizeEngine()

    @property
    def api(self) -> Api:
        return Api(
            "Anonymizer",
            {
                ("POST", "/anonymize"): self._anonymize,
                ("POST", "/deanonymize"): self._deanonymize,
                ("GET", "/anonymizers"): lambda _request: reply(self._masking.get_anonymizers()),
                ("GET", "/deanonymizers"): lambda _request: reply(self._restoring.get_deanonymizers()),
            },
        )

    def _anonymize(self, request: Request) -> Response:
        body = _body(request)
        try:
            operators = _operators(body, "anonymizers")
            if AppEntitiesConvertor.check_custom_operator(operators):
                raise Refused(400, "Custom type anonymizer is not supported")
            found = AppEntitiesConvertor.analyzer_results_from_json(_places(body, "analyzer_results"))
            result = self._masking.anonymize(text=_text(body), analyzer_results=found, operators=operators)
        except InvalidParamError as error:
            raise Refused(422, error.err_msg) from None
        return Response(200, result.to_json().encode())

    def _deanonymize(self, request: Request) -> Response:
        body = _body(request)
        try:
            places = _places(body, "anonymizer_results") or []
            entities = AppEntitiesConvertor.deanonymize_entities_from_json({"anonymizer_results": places})
            operators = _operators(body, "deanonymizers")
            result = self._restoring.deanonymize(text=_text(body), entities=entities, operators=operators)
        except InvalidParamError as error:
            raise Refused(422, error.err_msg) from None
        return Response(200, result.to_json().encode())


def _body(request: Request) -> dict[str, Any]:
    body = request.json()
    if not body:
        raise Refused(400, "Invalid request json")
    return body


def _text(body: Mapping[str, Any]) -> str:
    return field(body, "text", str, "a string") or ""


def _places(body: Mapping[str, Any], name: str) -> list[dict[str, Any]] | None:
    """Where in the text something was found, with the types that Presidio takes for granted.

    Raises:
        Refused: 422, an offset that is no whole number, or beyond the text.
    """
    places, length = objects(body, name), len(_text(body))
    for place in places or []:
        for offset in ("start", "end"):
            value = place.get(offset)
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= length
            ):
                raise Refused(422, f"Invalid input, {offset} must be a position in the text.")
        if not isinstance(place.get("entity_type", ""), str):
            raise Refused(422, "Invalid input, entity_type must be a string.")
        if not isinstance(place.get("score", 0), int | float):
            raise Refused(422, "Invalid input, score must be a number.")
    return places


def _operators(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    wanted = field(body, name, dict, "an object of objects") or {}
    if not all(
        isinstance(operator, dict) and isinstance(operator.get("type", ""), str) for operator in wanted.values()
    ):
        raise Refused(400, f"{name} must be an object of objects.")
    operators: dict[str, Any] = AppEntitiesConvertor.operators_config_from_json(wanted)
    return operators
