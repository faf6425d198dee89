"""Reads OTLP/HTTP trace exports: protobuf, as LiteLLM and the Langfuse SDK send it, or JSON; gzip or plain."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

_NEWEST_INGESTION = 4
_IDS = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True)
class Span:
    """One span, its attributes as plain Python values. Times are nanoseconds since 1970."""

    trace_id: str
    id: str
    parent_id: str
    name: str
    start: int
    end: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    scope: str
    failed: bool
    message: str


class MalformedError(Exception):
    """An export that the server answers with 400; the text is its message."""


def spans(body: bytes, headers: Mapping[str, str]) -> list[Span]:
    """The spans of an export.

    Raises:
        MalformedError: not OTLP, or of a version that the server does not know.
    """
    request = _parse(_unpacked(body, headers), headers.get("content-type", "").lower())
    # An export without spans is taken whatever its version says.
    if not request.resource_spans:
        return []
    version = headers.get("x-langfuse-ingestion-version") or headers.get("x_langfuse_ingestion_version")
    if version and (not version.isdigit() or int(version) > _NEWEST_INGESTION):
        supported = f'Maximum supported: "{_NEWEST_INGESTION}".'
        raise MalformedError(f'Unsupported x-langfuse-ingestion-version: "{version}". {supported}')
    return list(_spans(request))


def _unpacked(body: bytes, headers: Mapping[str, str]) -> bytes:
    if "gzip" not in headers.get("content-encoding", ""):
        return body
    try:
        return zlib.decompress(body, wbits=31)
    except zlib.error as error:
        raise MalformedError("Failed to decompress request body") from error


def _parse(body: bytes, content_type: str) -> ExportTraceServiceRequest:
    if "application/x-protobuf" in content_type:
        try:
            return ExportTraceServiceRequest.FromString(body)
        except DecodeError as error:
            raise MalformedError("Failed to parse OTel Protobuf Trace") from error
    if "application/json" in content_type:
        try:
            return ParseDict(_with_bytes(json.loads(body)), ExportTraceServiceRequest(), ignore_unknown_fields=True)
        except (ValueError, ParseError) as error:
            raise MalformedError("Failed to parse OTel JSON Trace") from error
    raise MalformedError("Invalid content type")


def _with_bytes(value: Any) -> Any:
    """OTLP's JSON writes ids as hex, protobuf's JSON reads base64."""
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in _IDS else _with_bytes(item)
        for key, item in value.items()
    }


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        resource_attributes = _plain(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace_id=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes=_plain(span.attributes),
                    resource=resource_attributes,
                    scope=scope.scope.name,
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    message=span.status.message,
                )


def _plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _plain(value.kvlist_value.values)
    return getattr(value, kind) if kind else None
