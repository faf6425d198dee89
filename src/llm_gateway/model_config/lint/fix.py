"""Apply the safe fixes, keeping comments and order. The result must mean what the edits say, or nothing is written."""

from __future__ import annotations

import contextlib
import copy
import difflib
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from llm_gateway.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llm_gateway.model_config.lint.findings import Edit, Finding
    from llm_gateway.model_config.lint.findings import Path as Trail


@dataclass(frozen=True, slots=True)
class Fixed:
    """A file that can be mended: the new text, the diff to show, and how many findings it settles."""

    file: str
    text: str
    diff: str
    settled: int

    def write(self) -> None:
        """Replace the file, with its mode; through a symbolic link, the file it names."""
        path = Path(self.file).resolve()
        write_atomic(path, self.text, mode=path.stat().st_mode & 0o777)


def fixes(findings: Iterable[Finding], *, hide: Sequence[str]) -> list[Fixed]:
    """What `--fix` would write, file by file.

    Args:
        findings: of one or more files; those without edits are left out.
        hide: values that the diff must not show.
    """
    by_file: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.edits:
            by_file.setdefault(finding.file, []).append(finding)
    return [fixed for file, found in by_file.items() if (fixed := _fix(file, found, hide)) is not None]


def _fix(file: str, findings: list[Finding], hide: Sequence[str]) -> Fixed | None:
    raw = Path(file).read_bytes()
    old = raw.decode("utf-8-sig")
    edits = [edit for finding in findings for edit in finding.edits]
    try:
        expected = _apply(yaml.safe_load(old), edits)
        new = _mended(old.replace("\r\n", "\n"), edits, expected)
    except Exception:  # noqa: BLE001 - whatever ruamel cannot do (duplicate keys, edits inside merges) is not fixed
        return None
    if new is None:
        return None
    if "\r\n" in old:
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    diff = "".join(
        difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), file, f"{file} (fixed)")
    )
    for secret in hide:
        diff = diff.replace(secret, "***")
    return Fixed(file, ("\ufeff" if raw.startswith(b"\xef\xbb\xbf") else "") + new, diff, len(findings))


def _mended(text: str, edits: list[Edit], expected: Any) -> str | None:
    """The text with the edits, as close to the old one as it gets; None when ruamel makes something else of it."""
    unchanged, new = _round_trip(text, []), _round_trip(text, edits)
    for candidate in (_keep_lines(text, unchanged, new), new):
        with contextlib.suppress(yaml.YAMLError):
            if yaml.safe_load(candidate) == expected:
                return candidate
    return None


def _keep_lines(old: str, unchanged: str, new: str) -> str:
    """`new` with the old lines wherever the edits left a line alone: ruamel also moves spaces that it need not."""
    before, plain, after = (value.splitlines(keepends=True) for value in (old, unchanged, new))
    if len(before) != len(plain):
        return new
    lines: list[str] = []
    for what, start, end, from_, to in difflib.SequenceMatcher(None, plain, after, autojunk=False).get_opcodes():
        lines += before[start:end] if what == "equal" else after[from_:to]
    return "".join(lines)


def _round_trip(text: str, edits: list[Edit]) -> str:
    from ruamel.yaml import YAML  # noqa: PLC0415 - only --fix needs it
    from ruamel.yaml.util import load_yaml_guess_indent  # noqa: PLC0415

    _, indent, offset = load_yaml_guess_indent(text)
    handler = YAML()
    handler.preserve_quotes = True
    handler.width = 4096
    handler.indent(mapping=_mapping_indent(text), sequence=indent or 2, offset=offset or 0)
    data = handler.load(text)
    _apply(data, edits)
    out = io.StringIO()
    handler.dump(data, out)
    return out.getvalue()


def _mapping_indent(text: str) -> int:
    """How far a mapping's keys usually stand to the right of the key above them."""
    steps: Counter[int] = Counter()
    above: int | None = None
    for line in text.splitlines():
        content = line.lstrip(" ")
        if not content or content[0] == "#":
            continue
        column = len(line) - len(content)
        if above is not None and column > above and content[0] != "-":
            steps[column - above] += 1
        within = re.match(r"(?:- +)+", content)
        opens = content.split(" #")[0].rstrip().endswith(":")
        above = column + (len(within[0]) if within else 0) if opens else None
    return steps.most_common(1)[0][0] if steps else 2


def _apply(data: Any, edits: list[Edit]) -> Any:
    """Change `data` in place; deletions last and from the back, so that indexes stay right."""
    for edit in edits:
        if edit.action == "set":
            _parent(data, edit.path)[edit.path[-1]] = copy.deepcopy(edit.value)
        elif edit.action == "move":
            source = _parent(data, edit.path)
            value = source[edit.path[-1]]
            _parent(data, edit.target, make=True)[edit.target[-1]] = value
            _remove(data, edit.path)
    for path in sorted({e.path for e in edits if e.action == "delete"}, key=_back_to_front, reverse=True):
        with contextlib.suppress(KeyError):  # another edit has moved it
            _remove(data, path)
    return data


def _remove(data: Any, path: Trail) -> None:
    """Delete what `path` leads to, and the mapping that held nothing else: an empty one means something to LiteLLM."""
    parent = _parent(data, path)
    del parent[path[-1]]
    if isinstance(parent, dict) and not parent and len(path) > 1 and isinstance(path[-2], str):
        del _parent(data, path[:-1])[path[-2]]


def _back_to_front(path: Trail) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in path)


def _parent(data: Any, path: Trail, *, make: bool = False) -> Any:
    for part in path[:-1]:
        if make and isinstance(part, str) and data.get(part) is None:
            data[part] = {}
        data = data[part]
    return data
