"""What `start` does with the lint: errors stop it, warnings are shown, --force goes on. No process is started."""

import pytest

from llm_gateway.errors import InputError
from llm_gateway.model_config.load import load
from llm_gateway.progress import Progress
from llm_gateway.verbs.context import open_context
from llm_gateway.verbs.lint import refuse_mistakes
from llm_gateway.verbs.start import check
from support.lint_cases import MODEL, context, settings


def write(folder, text):
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_errors_stop_with_place_reason_and_way_out(tmp_path):
    file = write(tmp_path, settings("callbacks: [langfus]"))
    with pytest.raises(InputError) as caught:
        refuse_mistakes(file, context(), progress=None)
    problem = caught.value.problem
    assert problem.code == "E123"
    assert f"{file}, line 5" in problem.message
    assert "C044" in problem.cause
    assert "--force" in problem.next


def test_force_shows_the_error_and_goes_on(tmp_path, capsys):
    refuse_mistakes(
        write(tmp_path, settings("callbacks: [langfus]")), context(), progress=Progress(quiet=False), force=True
    )
    assert capsys.readouterr().err.count("C044") == 1


def test_warnings_are_shown_and_notes_are_not(tmp_path, capsys):
    file = write(tmp_path, settings("drop_parms: true\ncallbacks: [prometheus]"))
    refuse_mistakes(file, context(), progress=Progress(quiet=False))
    shown = capsys.readouterr().err
    assert shown.count("C021") == 1
    assert "C080" not in shown


def test_a_restart_is_refused_before_it_stops_anything(tmp_path):
    file = write(tmp_path, settings("callbacks: [langfus]"))
    here = open_context(
        {"config_file": file}, progress=Progress(quiet=True), environ={"LLM_GATEWAY_HOME": str(tmp_path / "home")}
    )
    with pytest.raises(InputError, match="E123"):
        check(here)


def test_loading_survives_what_would_crash_libyaml(tmp_path):
    file = tmp_path / "deep.yaml"
    file.write_text("a: " + "[" * 300_000)
    with pytest.raises(InputError, match="nested too deeply"):
        load(file)
    assert load(tmp_path / write(tmp_path, MODEL))["model_list"]
