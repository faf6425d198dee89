#!/usr/bin/env python3
"""Write the generated parts of README.md and docs/.

Options, settings, verbs, doctor checks, capabilities, alerts, lint rules, error codes.
`--check` writes nothing and exits 1 when something is stale; a test calls it.
"""

from __future__ import annotations

import ast
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from llm_gateway.cli.app import VERBS  # noqa: E402
from llm_gateway.doctor.runner import all_checks  # noqa: E402
from llm_gateway.model_config.lint.registry import load_rules  # noqa: E402
from llm_gateway.options import options  # noqa: E402
from llm_gateway.proofs.runner import all_proofs  # noqa: E402
from llm_gateway.settings import SETTINGS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_gateway.choices import Choice


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def choices(entries: Iterable[Choice]) -> str:
    """Options or settings, with flag, variable and default."""
    rows = []
    for entry in entries:
        flag = f"`{entry.flag}`" + (f" / `--no-{entry.words}`" if entry.kind == "boolean" else "")
        if entry.id == "configFile":
            flag = "`--config`"
        default = str(entry.default).lower() if entry.kind == "boolean" else str(entry.default) or "empty"
        allowed = f" One of {', '.join(f'`{value}`' for value in entry.allowed)}." if entry.allowed else ""
        rows.append((f"`{entry.id}`", flag, f"`{entry.variable}`", f"`{default}`", entry.description + allowed))
    return table(("name", "flag", "variable", "default", "what it does"), rows)


def verbs() -> str:
    """Every verb with its first sentence."""
    commands = ((name, import_module(f"llm_gateway.cli.{name}").command) for name in VERBS)
    return table(("verb", "what it does"), [(f"`{name}`", " ".join(c.help.split())) for name, c in commands])


def checks() -> str:
    """The doctor's checks."""
    rows = [(check.id, check.severity, check.title) for check in sorted(all_checks(), key=lambda check: check.id)]
    return table(("id", "severity", "what is looked at"), rows)


def capabilities() -> str:
    """What `verify` can prove."""
    rows = [(f"`{p.capability}`", p.title, "only with `--deep`" if p.deep else "") for p in all_proofs()]
    return table(("capability", "what is shown", ""), rows)


def alerts() -> str:
    """What fires, how long it must last, and what is said then."""
    groups = yaml.safe_load((ROOT / "configs" / "observability" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    found: dict[str, list[str]] = {}
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        conditions = found.setdefault(f"`{rule['alert']}`|{rule['labels']['severity']}|{rule.get('for', '')}", [])
        conditions.append(f"`{rule['expr']}`".replace("|", "\\|"))
    return table(
        ("alert", "severity", "after", "when"),
        ((*head.split("|"), "<br>".join(conditions)) for head, conditions in found.items()),
    )


def rules() -> str:
    """The lint's rules."""
    rows = [
        (rule.id, rule.severity, "yes" if rule.fatal else "", rule.title, rule.why) for rule in load_rules().values()
    ]
    return table(("id", "severity", "stops a start", "what is found", "why it matters"), rows)


def raised() -> list[tuple[str, str, str]]:
    """Every error that the code raises: code, message, module. Read from the source, so nothing is forgotten."""
    found = []
    for path in sorted((ROOT / "src/llm_gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and len(node.args) >= 2:
                code = node.args[0]
                if isinstance(code, ast.Constant) and re.fullmatch(r"E\d{3}", str(code.value)):
                    found.append((str(code.value), _said(node), path.stem))
    return sorted(set(found))


def _said(call: ast.Call) -> str:
    """The message of a call that makes an error; the installer's tables have it elsewhere."""
    maker = call.func.id if isinstance(call.func, ast.Name) else ""
    if maker == "_cause":
        return "Installing … failed: " + _message(call.args[2])
    if maker == "_check_size":
        return f"The chosen stack needs more {_message(call.args[1])} than there is."
    return _message(call.args[1])


def _message(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return "".join(str(part) for part in parts)
    return "…"


def errors() -> str:
    """The error codes with their messages; `…` stands for what differs."""
    return table(("code", "message"), [(code, message) for code, message, _ in raised()])


PARTS = {
    "options": lambda: choices(options()),
    "settings": lambda: choices(SETTINGS),
    "verbs": verbs,
    "checks": checks,
    "capabilities": capabilities,
    "alerts": alerts,
    "rules": rules,
    "errors": errors,
}


def renew(text: str) -> str:
    """`text` with every `<!-- generated: NAME -->` block filled anew."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- generated: {match[1]} -->\n{PARTS[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- generated: (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def main() -> int:
    """Renew the files, or only say which are stale."""
    stale = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        old = path.read_text(encoding="utf-8")
        new = renew(old)
        if new != old:
            stale.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'renewed'}: {path}", file=sys.stderr)
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
