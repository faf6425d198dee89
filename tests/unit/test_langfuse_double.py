"""The double of Langfuse refuses, delays and forgets as the real server does."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from doubles.langfuse import Langfuse, Project, StartRefusedError, seed
from doubles.server import running
from llm_gateway.probes import Deadline, wait

PROJECT = Project()
KEYS = (PROJECT.public_key, PROJECT.secret_key)
OTLP, V2 = "/api/public/otel/v1/traces", "/api/public/v2/observations"
PROTOBUF = {"content-type": "application/x-protobuf", "x-langfuse-ingestion-version": "4"}
START = 1_800_000_000_000_000_000


@pytest.fixture
def langfuse():
    with running(Langfuse()) as double:
        yield double


def export(*names: str, trace: str = "ab" * 16, **attributes: str) -> bytes:
    """An export of one span per name; each starts a second after the one before."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for index, name in enumerate(names):
        span = scope.spans.add(trace_id=bytes.fromhex(trace), span_id=(index + 1).to_bytes(8, "big"), name=name)
        span.start_time_unix_nano = START + index * 1_000_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + 500_000_000
        for key, value in attributes.items():
            pair = KeyValue(key=key.replace("__", "."))
            pair.value.string_value = value
            span.attributes.append(pair)
    return request.SerializeToString()


def post(double: Langfuse, body: bytes, *, auth: Any = KEYS, path: str = OTLP, **headers: str) -> httpx.Response:
    sent = {**PROTOBUF, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(double.url + path, content=body, headers=sent, auth=auth, trust_env=False)


def get(double: Langfuse, path: str, *, auth: Any = KEYS, **query: Any) -> httpx.Response:
    return httpx.get(double.url + path, params=query, auth=auth, trust_env=False)


def test_an_export_is_read_back_by_filters_and_field_groups(langfuse):
    body = export("one", "two", langfuse__observation__type="generation", user__id="alice")
    assert post(langfuse, body).json() == {}
    (shown,) = get(langfuse, V2, name="two", userId="alice", type="GENERATION").json()["data"]
    assert (shown["name"], shown["userId"], shown["startTime"]) == ("two", "alice", "2027-01-15T08:00:01.000Z")
    assert "input" not in shown
    assert get(langfuse, V2, userId="bob").json() == {"data": [], "meta": {}}
    (late,) = get(langfuse, V2, fromStartTime="2027-01-15T09:00:01+01:00", fields="io").json()["data"]
    assert set(late) >= {"id", "input", "output"}


def test_pages_follow_the_cursor_newest_first(langfuse):
    post(langfuse, export("a", "b", "c"))
    first = get(langfuse, V2, limit=2).json()
    rest = get(langfuse, V2, limit=2, cursor=first["meta"]["cursor"]).json()
    assert [[item["name"] for item in answer["data"]] for answer in (first, rest)] == [["c", "b"], ["a"]]
    assert rest["meta"] == {}


def test_a_span_sent_twice_is_one_observation(langfuse):
    post(langfuse, export("first"))
    post(langfuse, export("second"))
    assert [item["name"] for item in langfuse.observations()] == ["second"]


def test_json_and_gzip_are_read_too(langfuse):
    span = {"traceId": "cd" * 16, "spanId": "ef" * 8, "name": "json", "startTimeUnixNano": str(START)}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    assert post(langfuse, body, content_type="application/json").status_code == 200
    assert post(langfuse, gzip.compress(export("zipped")), content_encoding="gzip").status_code == 200
    assert [(item["name"], item["traceId"][:2]) for item in langfuse.observations()] == [
        ("json", "cd"),
        ("zipped", "ab"),
    ]


def test_what_was_accepted_can_be_read_only_later(langfuse):
    langfuse.delay = 0.3
    before = time.monotonic()
    assert post(langfuse, export("late")).status_code == 200
    assert get(langfuse, V2).json()["data"] == []
    assert wait(lambda: "" if get(langfuse, V2).json()["data"] else "not yet", Deadline(10)) == ""
    assert time.monotonic() - before >= 0.3


@pytest.mark.parametrize(
    ("auth", "status", "words"),
    [
        (None, 401, "No authorization header"),
        (("pk-lf-other", PROJECT.secret_key), 401, "correct host"),
        ((PROJECT.public_key, "sk-lf-wrong"), 401, "Invalid credentials"),
        (("pk-lf-org", "sk-lf-org"), 403, "organization key"),
    ],
)
def test_wrong_keys_are_refused_everywhere(langfuse, auth, status, words):
    langfuse.projects += (Project(public_key="pk-lf-org", secret_key="sk-lf-org", organization_key=True),)
    for answer in (get(langfuse, "/api/public/projects", auth=auth), post(langfuse, export("x"), auth=auth)):
        assert answer.status_code == status
        assert words in answer.json()["message"]
    assert langfuse.observations() == []


def test_a_project_sees_only_its_own(langfuse):
    other = Project(id="other", public_key="pk-lf-2", secret_key="sk-lf-2")
    langfuse.projects += (other,)
    post(langfuse, export("theirs"), auth=("pk-lf-2", "sk-lf-2"))
    (project,) = get(langfuse, "/api/public/projects", auth=("pk-lf-2", "sk-lf-2")).json()["data"]
    assert project["id"] == "other"
    assert get(langfuse, V2).json()["data"] == []
    assert [item["name"] for item in langfuse.observations(other)] == ["theirs"]


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        (b"\xff\xff\xff", {}, "Failed to parse OTel Protobuf Trace"),
        (b"{", {"content_type": "application/json"}, "Failed to parse OTel JSON Trace"),
        (b"", {"content_type": "text/plain"}, "Invalid content type"),
        (b"no gzip", {"content_encoding": "gzip"}, "Failed to decompress request body"),
        (export("x"), {"x_langfuse_ingestion_version": "5"}, 'Unsupported x-langfuse-ingestion-version: "5".'),
    ],
)
def test_malformed_exports_are_refused(langfuse, body, headers, error):
    answer = post(langfuse, body, **headers)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)


@pytest.mark.parametrize("query", [{"limit": 1001}, {"type": "LLM"}, {"parseIoAsJson": "true"}, {"cursor": "?"}])
def test_malformed_queries_are_refused(langfuse, query):
    assert get(langfuse, V2, **query).status_code == 400


def test_what_a_proxy_in_front_does_not_let_pass(langfuse):
    langfuse.max_body = 10
    assert post(langfuse, export("x" * 20)).status_code == 413


def event(kind: str, **body: Any) -> dict[str, Any]:
    return {"id": f"e-{kind}", "type": kind, "timestamp": "2026-01-01T00:00:00Z", "body": {"id": kind, **body}}


OLD = [
    event("trace-create", id="t1", userId="alice", tags=["x"]),
    event("generation-create", traceId="t1", model="m", usage={"input": 1, "output": 2, "total": 3, "totalCost": 0.5}),
    event("score-create", traceId="t1", name="good", value=1),
    event("nonsense"),
]


@pytest.mark.parametrize(
    ("version", "mode", "taken", "traces", "observations"),
    [
        ("4.16.0", "events_only", ["e-score-create"], 404, 200),
        ("4.16.0", "dual", ["e-trace-create", "e-generation-create", "e-score-create"], 200, 200),
        ("3.225.4", "legacy", ["e-trace-create", "e-generation-create", "e-score-create"], 200, 404),
        ("2.95.12", "legacy", ["e-trace-create", "e-generation-create", "e-score-create"], 200, 404),
    ],
)
def test_the_old_api_by_version_and_write_mode(version, mode, taken, traces, observations):
    with running(Langfuse(version=version, write_mode=mode)) as double:
        answer = post(double, json.dumps({"batch": OLD}).encode(), path="/api/public/ingestion")
        assert answer.status_code == 207
        assert [success["id"] for success in answer.json()["successes"]] == taken
        assert {error["status"] for error in answer.json()["errors"]} == {400}
        assert [score["name"] for score in double.scores()] == ["good"]
        assert get(double, V2).status_code == observations
        assert get(double, "/api/public/traces").status_code == traces
        assert post(double, export("x")).status_code == (404 if version.startswith("2") else 200)
        assert get(double, "/api/public/health", auth=None).json() == {"status": "OK", "version": version}
        if traces == 200:
            trace = get(double, "/api/public/traces/t1").json()
            assert (trace["userId"], trace["tags"], trace["totalCost"]) == ("alice", ["x"], 0.5)
            assert trace["observations"][0]["usageDetails"] == {"input": 1, "output": 2, "total": 3}
            assert get(double, "/api/public/traces/t2").status_code == 404


@pytest.mark.parametrize(("body", "status"), [(b"[]", 400), (b"{", 400), (b" " * 4_500_001, 413)])
def test_a_malformed_batch_is_refused(langfuse, body, status):
    assert post(langfuse, body, path="/api/public/ingestion").status_code == status


INIT = {
    "LANGFUSE_INIT_ORG_ID": "org",
    "LANGFUSE_INIT_PROJECT_ID": "p",
    "LANGFUSE_INIT_PROJECT_PUBLIC_KEY": "pk-1",
    "LANGFUSE_INIT_PROJECT_SECRET_KEY": "sk-1",
    "LANGFUSE_INIT_USER_EMAIL": "admin@dep.com",
    "LANGFUSE_INIT_USER_PASSWORD": "password",
}


def test_seeding_creates_and_never_changes():
    (made,) = seed(INIT)
    assert (made.id, made.secret_key) == ("p", "sk-1")
    assert seed({**INIT, "LANGFUSE_INIT_PROJECT_SECRET_KEY": "sk-2"}, (made,)) == (made,)
    moved = seed({**INIT, "LANGFUSE_INIT_PROJECT_ID": "q"}, (made,))
    assert [(project.id, project.public_key) for project in moved] == [("q", "pk-1")]
    assert [p.secret_key for p in seed({**INIT, "LANGFUSE_INIT_PROJECT_PUBLIC_KEY": "pk-2"}, (made,))] == ["sk-1"] * 2
    assert seed({name: value for name, value in INIT.items() if not name.endswith("ORG_ID")}) == ()


def test_seeding_refuses_what_the_server_does_not_start_with():
    with pytest.raises(StartRefusedError, match="LANGFUSE_INIT_USER_EMAIL"):
        seed({**INIT, "LANGFUSE_INIT_USER_EMAIL": "admin@localhost"})
    with pytest.raises(StartRefusedError) as refused:
        seed({**INIT, "LANGFUSE_INIT_USER_PASSWORD": "short"})
    assert refused.value.serves


@pytest.mark.parametrize(("password", "status"), [("password", 200), ("short", 500)])
def test_it_serves_in_a_process_of_its_own(password, status):
    with subprocess.Popen(
        [sys.executable, "-m", "doubles.langfuse"],
        env={**INIT, "LANGFUSE_INIT_USER_PASSWORD": password, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        url = json.loads(process.stdout.readline())["url"]
        answer = httpx.get(f"{url}/api/public/projects", auth=("pk-1", "sk-1"), trust_env=False)
        assert answer.status_code == status
        process.stdin.close()
        assert process.wait(10) == 0
