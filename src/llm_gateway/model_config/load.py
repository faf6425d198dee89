"""Reading a LiteLLM model config, with one clear error for each way it can be unusable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from llm_gateway.errors import InputError
from llm_gateway.files import Unreadable, read_text
from llm_gateway.model_config.lint.build import Builder, Unusable
from llm_gateway.model_config.lint.loader import compose, construct, too_deep

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 5_000_000  # bytes


def load(path: Path) -> dict[str, Any]:
    """The mapping in `path`.

    Raises:
        InputError: E120, missing, a directory, unreadable or too large; E121, no YAML, or endless; E122, not
            a model config.
    """
    try:
        text = read_text(path, largest=LARGEST)
    except Unreadable as trouble:
        raise InputError(
            "E120",
            f"The config {path} cannot be read: {trouble.reason}.",
            cause="The path is wrong, or the file belongs to another user.",
            next="Name an existing file: llm-gateway start --config configs/model-config-demo.yaml",
        ) from None
    if too_deep(text):  # libyaml would end the process
        raise _not_yaml(path, "", "nested too deeply", "No model config looks like this.")
    try:
        node = compose(text)
        if node is not None:
            Builder(str(path)).build(node)  # refuses aliases without end, which nothing here could write down again
        value = None if node is None else construct(node)
    except Unusable as unusable:
        where = f", line {unusable.at.line}, column {unusable.at.column}"
        usual = "A gateway that reads this takes all memory, or does not start."
        raise _not_yaml(path, where, unusable.message, usual, mend=unusable.fix) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        usual = "The file is not valid YAML; tabs and uneven indentation are the usual reasons."
        raise _not_yaml(path, where, problem, usual) from None
    if not isinstance(value, dict):
        raise _not_a_config(path, "the file is empty" if value is None else f"it is a {type(value).__name__}")
    models = value.get("model_list", [])
    if models is not None and not isinstance(models, list):
        raise _not_a_config(path, "model_list is not a list")
    return value


def _not_yaml(path: Path, where: str, problem: str, cause: str, *, mend: str = "Mend it.") -> InputError:
    return InputError(
        "E121",
        f"{path} cannot be used{where}: {problem}.",
        cause=cause,
        next=f"{mend} Then: llm-gateway start --config {path}",
    )


def _not_a_config(path: Path, reason: str) -> InputError:
    return InputError(
        "E122",
        f"{path} is not a model config: {reason}.",
        cause="A model config is a mapping with model_list, litellm_settings, general_settings and the like.",
        next="Compare it with configs/model-config-demo.yaml",
    )


def resolve_path(name: str, *, cwd: Path, home: Path) -> Path:
    """`--config` against the current directory, then the home; absolute.

    Raises:
        InputError: E120, it is in neither.
    """
    candidates = [(base / name).absolute() for base in (cwd, home)]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise InputError(
        "E120",
        f"The config {name} is not there.",
        cause=f"Looked for {' and '.join(dict.fromkeys(map(str, candidates)))}.",
        next="llm-gateway start --config configs/model-config-demo.yaml",
    )
