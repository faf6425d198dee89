"""--fix: mended, comments and order kept, nothing else touched, secrets masked in the diff."""

import yaml

from llm_gateway.verbs.lint import lint
from support.lint_cases import context, settings

TEXT = """\
# The team's models.
model_list:
  - model_name: embed   # for search
    litellm_params:
      model: openai/text-embedding-3-small
      mode: embedding   # wrong place
      api_key: sk-proj-AAAABBBBCCCC
  - model_name: llava
    litellm_params:
      model: 'ollama/llava'
      api_base: "http://localhost:11434/v1"
  - model_name: azure
    litellm_params:
      model: azure/gpt-4o
      api_base: https://x.openai.azure.com
      api_version: 2024-02-01
litellm_settings:
  # Metering first? No.
  success_callback: [lago, langfuse]
  cache: true
  cache_params:
    type: local
    redis_semantic_cache_use_async: True
router_settings:
  health_check_interval: 60
  num_retries: 2
"""


def fixed(folder, text=TEXT, name="config.yaml"):
    path = folder / name
    path.write_bytes(text.encode())
    fixes = lint([str(path)], context()).fixes()
    for fix in fixes:
        fix.write()
    return path, fixes


def test_all_safe_fixes(tmp_path):
    path, (fix,) = fixed(tmp_path)
    value = yaml.safe_load(path.read_text())
    embed, llava, azure = value["model_list"]
    assert embed["model_info"] == {"mode": "embedding"}
    assert "mode" not in embed["litellm_params"]
    assert llava["litellm_params"]["api_base"] == "http://localhost:11434"
    assert azure["litellm_params"]["api_version"] == "2024-02-01"
    assert value["litellm_settings"]["success_callback"] == ["langfuse", "lago"]
    assert value["litellm_settings"]["cache_params"] == {"type": "local"}
    assert value["general_settings"] == {"health_check_interval": 60}
    assert value["router_settings"] == {"num_retries": 2}
    assert fix.settled == 6
    assert lint([str(path)], context()).fixes() == []


def test_comments_and_untouched_lines_stay(tmp_path):
    path, _ = fixed(tmp_path)
    text = path.read_text()
    for line in (
        "# The team's models.",
        "  - model_name: embed   # for search",
        "      model: 'ollama/llava'",
        "  # Metering first? No.",
    ):
        assert line in text.splitlines()


def test_the_diff_shows_no_secret(tmp_path):
    _, (fix,) = fixed(tmp_path)
    assert "+    model_info:" in fix.diff
    assert "sk-proj" not in fix.diff
    assert "sk-proj" in fix.text


def test_line_ends_mode_and_link_stay(tmp_path):
    real = tmp_path / "real.yaml"
    real.write_bytes(TEXT.replace("\n", "\r\n").encode())
    real.chmod(0o640)
    (tmp_path / "config.yaml").symlink_to(real)
    for fix in lint([str(tmp_path / "config.yaml")], context()).fixes():
        fix.write()
    assert (tmp_path / "config.yaml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.read_bytes().count(b"\r\n") == real.read_bytes().count(b"\n")
    assert b"model_info" in real.read_bytes()


def test_a_fix_inside_a_merge_goes_to_the_anchor(tmp_path):
    text = (
        "x-a: &a {api_base: 'http://localhost:11434/v1'}\n"
        "model_list:\n  - {model_name: m, litellm_params: {<<: *a, model: ollama/llava}}\n"
    )
    path, fixes = fixed(tmp_path, text)
    value = yaml.safe_load(path.read_text())
    if fixes:  # either it means the right thing, or nothing was written
        assert value["model_list"][0]["litellm_params"]["api_base"] == "http://localhost:11434"
    else:
        assert path.read_text() == text


def test_a_file_with_duplicate_keys_is_left_alone(tmp_path):
    text = TEXT + "router_settings:\n  num_retries: 3\n"
    path, fixes = fixed(tmp_path, text)
    assert fixes == []
    assert path.read_text() == text


def test_a_section_that_a_fix_empties_goes_with_it(tmp_path):
    text = "# Ours.\n" + settings("drop_params: true   # wrong place", "general_settings").replace(
        "general_settings:", "# Not these.\ngeneral_settings: # and this"
    )
    path, (fix,) = fixed(tmp_path, text)
    assert fix.settled == 1
    value = yaml.safe_load(path.read_text())
    assert value["litellm_settings"] == {"drop_params": True}
    assert "general_settings" not in value
    assert path.read_text().startswith("# Ours.\nmodel_list:")
