"""The analyzer: finds personal data in a text. Its routes, bodies and errors are those of the official container."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import presidio_analyzer
import spacy
import tldextract.tldextract as suffixes
import yaml
from phonenumbers import SUPPORTED_REGIONS
from presidio_analyzer import AnalyzerEngine, PatternRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, PhoneRecognizer

from .cache import AnswerCache
from .fields import field, number, objects, strings
from .turns import Turns
from .web import Api, Refused, Request, Response, reply

if TYPE_CHECKING:
    from collections.abc import Mapping

_SURROGATES = re.compile("[\ud800-\udfff]")
_LONGEST = 1_000_000  # characters of a request's texts together; spaCy's models take no longer text
_FLAGS = re.DOTALL | re.MULTILINE | re.IGNORECASE
# Where a language is not spoken in the country of the same code.
_REGIONS = {"cs": "CZ", "da": "DK", "el": "GR", "ja": "JP", "ko": "KR", "sv": "SE", "uk": "UA", "zh": "CN"}
# Labels of the news models (fr, de, …) that are no entity of Presidio's.
_IGNORED = ["MISC"]


def build_engine(models: Mapping[str, str]) -> AnalyzerEngine:
    """An analyzer for some languages.

    Args:
        models: the spaCy model of each language: an installed package's name or a directory.

    Raises:
        OSError: a model is not there; spaCy says which.
    """
    # The e-mail recogniser's list of suffixes comes with its package; without this it asks two hosts for a newer one.
    suffixes.TLD_EXTRACTOR = suffixes.TLDExtract(suffix_list_urls=(), cache_dir=None)
    configuration = yaml.safe_load(
        (Path(presidio_analyzer.__file__).parent / "conf" / "default.yaml").read_text(encoding="utf-8")
    )["ner_model_configuration"]
    configuration["labels_to_ignore"] += _IGNORED
    nlp = SpacyNlpEngine(
        models=[{"lang_code": language, "model_name": model} for language, model in models.items()],
        ner_model_configuration=NerModelConfiguration.from_dict(configuration),
    )
    # Loaded here: SpacyNlpEngine would try to download a missing model, and keep the parser, which nothing asks.
    nlp.nlp = {language: spacy.load(model, exclude=["parser"]) for language, model in models.items()}
    languages = list(models)
    registry = RecognizerRegistry(supported_languages=languages)
    log = logging.getLogger("presidio-analyzer")
    log.setLevel(logging.ERROR)  # it warns of every recogniser for another language
    registry.load_predefined_recognizers(languages=languages, nlp_engine=nlp)
    log.setLevel(logging.WARNING)
    for language in languages:
        _complete(registry, language)
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=languages)


def _complete(registry: RecognizerRegistry, language: str) -> None:
    """What Presidio's default list leaves out for a language: card numbers, and the country's own phone numbers."""
    present = {
        entity
        for recognizer in registry.recognizers
        if recognizer.supported_language == language
        for entity in recognizer.supported_entities
    }
    if "CREDIT_CARD" not in present:
        registry.add_recognizer(CreditCardRecognizer(supported_language=language))
    region = _REGIONS.get(language, language.upper())
    if region in SUPPORTED_REGIONS and region not in PhoneRecognizer.DEFAULT_SUPPORTED_REGIONS:
        registry.add_recognizer(PhoneRecognizer(supported_language=language, supported_regions=[region]))


class Analyzer:
    """The handlers.

    Args:
        engine: Presidio's engine.
        at_once: how many texts are analyzed at a time. More threads than cores only take turns: with four on two cores
            fewer texts were done per second than with one.
    """

    def __init__(self, engine: AnalyzerEngine, *, at_once: int) -> None:
        self._engine = engine
        self._turns = Turns(at_once)
        self._answers = AnswerCache()

    @property
    def api(self) -> Api:
        return Api(
            "Analyzer",
            {
                ("POST", "/analyze"): self._analyze,
                ("GET", "/recognizers"): self._recognizers,
                ("GET", "/supportedentities"): self._entities,
            },
        )

    def _analyze(self, request: Request) -> Response:
        known = self._answers.get(request.body)
        if known is not None:
            return Response(200, known)
        body = request.json()
        texts, several = _texts(body)
        language = field(body, "language", str, "a string")
        if not language:
            raise Refused(500, "No language provided")
        self._known(language)
        wishes = _wishes(body)
        found = [self._one(text, language, wishes) for text in texts]
        response = reply(found if several else found[0])
        if not wishes["return_decision_process"]:  # the only answers that quote the text
            self._answers.put(request.body, response.body)
        return response

    def _one(self, text: str, language: str, wishes: Mapping[str, Any]) -> list[dict[str, Any]]:
        with self._turns:  # for each text, so that a long list of them keeps nobody waiting
            return [_as_json(result) for result in self._engine.analyze(text=text, language=language, **wishes)]

    def _recognizers(self, request: Request) -> Response:
        language = self._known(request.parameter("language"))
        return reply([recognizer.name for recognizer in self._engine.get_recognizers(language)])

    def _entities(self, request: Request) -> Response:
        return reply(self._engine.get_supported_entities(self._known(request.parameter("language"))))

    def _known(self, language: str | None) -> str | None:
        if language is not None and language not in self._engine.supported_languages:
            raise Refused(500, "No matching recognizers were found to serve the request.")
        return language


def _texts(body: Mapping[str, Any]) -> tuple[list[str], bool]:
    """The texts, and whether they came as a list. Numbers and booleans are texts to the official server too."""
    text = body.get("text")
    if not text:
        raise Refused(500, "No text provided")
    given = text if isinstance(text, list) else [text]
    if not all(isinstance(item, str | int | float) for item in given):
        raise Refused(400, "text must be a string or a list of strings.")
    texts = [str(item) for item in given]
    if sum(map(len, texts)) > _LONGEST:
        raise Refused(413, f"A request's texts may have {_LONGEST} characters.")
    # Half a pair is no character and spaCy refuses it. One character for one: the offsets stay true.
    return [_SURROGATES.sub("\ufffd", item) for item in texts], isinstance(text, list)


def _wishes(body: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `AnalyzerEngine.analyze` besides text and language."""
    match = field(body, "allow_list_match", str, "a string") or "exact"
    if match not in {"exact", "regex"}:
        raise Refused(400, "allow_list_match must be exact or regex.")
    given_flags, allowed = field(body, "regex_flags", int, "a whole number"), strings(body, "allow_list")
    flags = _FLAGS if given_flags is None else given_flags
    try:
        recognizers = [PatternRecognizer.from_dict(wanted) for wanted in objects(body, "ad_hoc_recognizers") or []]
        for expression in (allowed or []) if match == "regex" else []:
            re.compile(expression, flags)
    except (TypeError, ValueError, AttributeError, KeyError, re.error) as error:
        words = "Failed to parse /analyze request for AnalyzerEngine.analyze()."
        raise Refused(400, f"{words} {error}") from None
    return {
        "entities": strings(body, "entities"),
        "correlation_id": body.get("correlation_id"),
        "score_threshold": number(body, "score_threshold"),
        "return_decision_process": bool(body.get("return_decision_process")),
        "ad_hoc_recognizers": recognizers,
        "context": strings(body, "context"),
        "allow_list": allowed,
        "allow_list_match": match,
        "regex_flags": flags,
    }


def _as_json(result: Any) -> dict[str, Any]:
    explanation = result.analysis_explanation
    return {
        "entity_type": result.entity_type,
        "start": result.start,
        "end": result.end,
        "score": result.score,
        "analysis_explanation": explanation.to_dict() if explanation else None,
    }
