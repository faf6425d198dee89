"""Editing the config and the `.env` of a gateway that runs: `llm-gateway reload`, and `reload --watch`."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from llm_gateway.gateway.control import ask
from llm_gateway.paths import Home as Paths
from support.home import Home, home, kill
from support.steady_client import steady

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FROM_PROCESS = "only-in-the-shell-that-started-it"


def write(path: Path, reply: str, *, key: str = "none", **sections: Any) -> None:
    """A config whose `demo-chat` says `reply`; uncached, for the same question must reach it each time."""
    model = {"model": "openai/demo-chat", "api_key": key, "mock_response": reply}
    settings = {"cache": False, **sections.pop("litellm_settings", {})}
    models = [{"model_name": "demo-chat", "litellm_params": model}]
    path.write_text(json.dumps({"model_list": models, "litellm_settings": settings, **sections}), encoding="utf-8")


def says(made: Home, key: str) -> str:
    answer = made.chat(key)
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Home, str]]:
    """A gateway with a config of its own in the home's directory, and its master key."""
    with home("LLM_GATEWAY_ENABLE_REDIS=false", config=None) as made:
        config = made.root / "mine.yaml"
        write(config, "begin")
        data = made.start("--config", str(config), variables={"SHELL_KEY": FROM_PROCESS})
        yield made, data["ui"]["password"]


@pytest.fixture
def running(started: tuple[Home, str]) -> tuple[Home, Path, str]:
    """The gateway, its config and its key, with "old" as its answer."""
    made, key = started
    config = made.root / "mine.yaml"
    write(config, "old")
    made.ask("reload")
    return made, config, key


def effective(made: Home) -> list[Path]:
    return list(made.state.glob("effective-config*"))


def test_an_edited_config_is_taken_over_and_remembered(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    nursery = made.service("gateway").pid
    write(config, "new")
    told = made.ask("start", "--detach")
    assert any("llm-gateway reload takes it over" in warning for warning in told["warnings"])
    data = made.ask("reload")["data"]
    assert (data["config"], data["workers"], data["new_import"]) == (str(config), 1, False)
    assert says(made, key) == "new"
    assert made.service("gateway").pid == nursery
    again = made.ask("start", "--detach")
    assert again["data"]["already_running"] is True
    assert not any("edited" in warning for warning in again["warnings"])
    shown = made.run("reload")
    assert shown.stdout.startswith("Reloaded in ")
    assert shown.returncode == 0


def test_what_cannot_work_is_refused_before_anything_changes(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    config.write_text("model_list: [\n  - {", encoding="utf-8")
    assert made.error("reload", code=2)["code"] == "E121"
    write(config, "new", litellm_settings={"callbacks": ["no_such_module.handler"]})
    assert made.error("reload", code=1)["code"] == "E124"
    assert says(made, key) == "old"


def test_what_does_not_start_leaves_the_old_one_serving(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    write(config, "new", litellm_settings={"callbacks": ["no_such_module.handler"]})
    error = made.error("reload", "--force", code=1)
    assert error["code"] == "E510"
    assert "runs on as before" in error["message"]
    assert "no_such_module" in error["message"]
    assert says(made, key) == "old"
    # That of the present workers, and of those before, which may drain still; not that of the failed ones.
    assert not any("no_such_module" in path.read_text() for path in effective(made))
    assert len(effective(made)) <= 2
    assert not (made.state / "processes" / "gateway.next.json").exists()
    write(config, "mended")
    made.ask("reload")
    assert says(made, key) == "mended"


def test_a_crashed_launcher_comes_back_with_the_reloaded_config(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    for reply in ("one", "two"):  # the effective config has two places in turns
        write(config, reply)
        made.ask("reload")
        write(config, "edited, but not reloaded")
        launcher = made.service("gateway")
        kill(launcher)
        psutil.wait_procs([launcher], timeout=10)
        made.eventually(lambda: "" if made.answers(key) else "its workers still serve", seconds=20)
        made.eventually(lambda: made.answers(key), seconds=60)
        assert says(made, key) == reply


def test_env_edits_come_with_a_new_import_and_without_a_failed_request(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    write(config, "old", key="os.environ/MY_PROVIDER_KEY")
    assert any("MY_PROVIDER_KEY" in warning for warning in made.ask("reload")["warnings"])
    text, virtual_key = made.env_file.read_text(), "sk-another-virtual-key-1"
    link = made.root / ".env"
    link.unlink()  # as many editors save: a new file in the place of the link
    present = f"LLM_GATEWAY_VIRTUAL_KEY={made.values()['LLM_GATEWAY_VIRTUAL_KEY']}"
    edited = text.replace(present, f"LLM_GATEWAY_VIRTUAL_KEY={virtual_key}")
    link.write_text(f"{edited}MY_PROVIDER_KEY=sk-provider\n")
    write(config, "with the key", key="os.environ/MY_PROVIDER_KEY")
    with steady(made.url, key=key, rate=20) as client:
        reloaded = made.ask("reload")
        made.eventually(lambda: "" if client.report().saying("with the key") else "not yet", seconds=10)
        report = client.stop()
    assert reloaded["data"]["new_import"] is True
    assert not any("MY_PROVIDER_KEY" in warning for warning in reloaded["warnings"])
    assert not report.failures, str(report)
    assert link.is_symlink()
    assert says(made, virtual_key) == "with the key", "the new key is not seeded"


def test_the_variables_of_the_shell_that_started_it_stay(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    write(config, "new", key="os.environ/SHELL_KEY")
    assert "SHELL_KEY" in made.run("lint", str(config)).stdout, "this shell does not have the variable"
    reloaded = made.ask("reload")
    assert reloaded["data"]["new_import"] is False
    assert not any("SHELL_KEY" in warning for warning in reloaded["warnings"])
    assert says(made, key) == "new"


def test_what_other_services_were_started_with_needs_a_restart(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    text = made.env_file.read_text()
    password = made.values()["POSTGRES_PASSWORD"]
    made.env_file.write_text(text.replace(password, "another-password"))
    write(config, "new")
    error = made.error("reload", code=3)
    assert error["code"] == "E532"
    assert "POSTGRES_PASSWORD" in error["message"]
    assert "another-password" not in json.dumps(error)
    made.env_file.write_text(text)
    assert says(made, key) == "old"


def test_another_config_and_more_workers(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    other = config.with_name("other.yaml")
    write(other, "other")
    data = made.ask("reload", "--config", str(other), "--workers", "2")["data"]
    assert (data["config"], data["workers"]) == (str(other), 2)
    assert {says(made, key) for _ in range(6)} == {"other"}
    again = made.start(variables={"LLM_GATEWAY_WORKERS": "2"})
    assert (again["already_running"], again["config"]) == (True, str(other))
    made.ask("reload", "--config", str(config), "--workers", "1")
    assert says(made, key) == "old"


def test_what_fails_is_not_remembered(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    bad = config.with_name("bad.yaml")
    write(bad, "new", litellm_settings={"callbacks": ["no_such_module.handler"]})
    assert made.error("reload", "--config", str(bad), "--workers", "2", "--force", code=1)["code"] == "E510"
    again = made.start()
    assert (again["already_running"], again["config"]) == (True, str(config))
    made.ask("reload")
    assert says(made, key) == "old"


def test_a_verb_that_is_killed_leaves_a_whole_home(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    write(config, "new")
    verb = made.popen("reload", "--fresh")
    launcher = made.service("gateway")

    def under_way() -> str:
        reload = ask(Paths(made.root).socket("launcher.sock"))["reload"]
        return "" if reload and reload["state"] == "starting" else "no reload yet"

    made.eventually(under_way, seconds=30)
    kill(verb.pid)
    verb.communicate()
    assert made.error("reload", code=1)["code"] == "E513"
    made.eventually(lambda: "" if says(made, key) == "new" else "not yet", seconds=60)
    made.eventually(lambda: under_way() and "", seconds=30)
    write(config, "edited, but not reloaded")
    kill(launcher)
    psutil.wait_procs([launcher], timeout=10)
    made.eventually(lambda: "" if made.answers(key) else "its workers still serve", seconds=20)
    made.eventually(lambda: made.answers(key), seconds=60)
    assert says(made, key) == "new"
    made.ask("reload")
    assert says(made, key) == "edited, but not reloaded"


def test_choices_for_the_next_restart_stay(running: tuple[Home, Path, str]) -> None:
    made, _, key = running
    options = made.state / "options.json"
    saved = json.loads(options.read_text())
    options.write_text(json.dumps({**saved, "publicUrl": "http://gateway.example"}))
    error = made.error("reload", code=3)
    assert (error["code"], "publicUrl" in error["message"]) == ("E532", True)
    assert json.loads(options.read_text())["publicUrl"] == "http://gateway.example"
    options.write_text(json.dumps(saved))
    assert made.error("reload", code=3, variables={"LLM_GATEWAY_GATEWAY_PORT": "4999"})["code"] == "E532"
    assert says(made, key) == "old"


def test_an_edited_include_is_noticed(running: tuple[Home, Path, str]) -> None:
    made, config, _ = running
    part = config.with_name("included.yaml")
    part.write_text("litellm_settings: {cache: false}")
    write(config, "old", include=["included.yaml"])
    made.ask("reload")
    part.write_text("litellm_settings: {cache: false, drop_params: true}")
    assert any(f"{part} was edited" in warning for warning in made.ask("start", "--detach")["warnings"])


def test_nothing_to_reload(tmp_path: Path) -> None:
    with home() as made:
        assert made.error("reload", code=3)["code"] == "E531"
        assert made.error("reload", "--watch", code=3)["code"] == "E531"


def test_watching_takes_over_each_edit_and_keeps_the_old_one_when_it_is_bad(running: tuple[Home, Path, str]) -> None:
    made, config, key = running
    part = config.with_name("part.yaml")
    part.write_text("litellm_settings: {cache: false}")
    watcher = made.popen("reload", "--watch")
    told: list[str] = []
    threads = [threading.Thread(target=lambda s=stream: told.extend(s)) for stream in (watcher.stdout, watcher.stderr)]
    for thread in threads:
        thread.start()

    def heard(text: str) -> None:
        made.eventually(lambda: "" if text in "".join(told) else f"{text!r} not in {told}", seconds=30)

    try:
        heard("Watching ")
        with steady(made.url, key=key) as client:
            write(config, "seen", include=["part.yaml"])
            made.eventually(lambda: "" if client.report().saying("seen") else "not yet", seconds=20)
            config.write_text("model_list: [\n  - {", encoding="utf-8")
            heard("E121")
            write(config, "seen again", include=["part.yaml"])
            made.eventually(lambda: "" if client.report().saying("seen again") else "not yet", seconds=20)
            reloads = "".join(told).count("Reloaded in")
            part.write_text("litellm_settings: {cache: false, drop_params: true}")
            made.eventually(lambda: "" if "".join(told).count("Reloaded in") > reloads else "not yet", seconds=20)
            report = client.stop()
        assert not report.failures, str(report)
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(10) == 0
        heard("The watching has ended; the gateway runs on.")
        assert says(made, key) == "seen again"
        assert psutil.pid_exists(made.service("gateway").pid)
    finally:
        kill(watcher.pid)
        watcher.wait()
        for thread in threads:
            thread.join()


def test_watching_ends_with_the_gateway(tmp_path: Path) -> None:
    with home("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false") as made:
        made.start()
        watcher = made.popen("reload", "--watch", "--json")
        try:
            made.ask("stop")
            out, _ = watcher.communicate(timeout=20)
        finally:
            kill(watcher.pid)
            watcher.wait()
        assert watcher.returncode == 3
        assert json.loads(out)["errors"][0]["code"] == "E531"
