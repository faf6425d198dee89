"""The generated parts of the documents are what the code says now."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_parts_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/generate_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + "run scripts/generate_docs.py"


def test_every_error_code_belongs_to_one_module():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from generate_docs import raised
    finally:
        sys.path.pop(0)
    modules = {}
    for code, _message, module in raised():
        modules.setdefault(code, set()).add(module)
    assert {code: found for code, found in modules.items() if len(found) > 1} == {}
    assert len(modules) > 40


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
