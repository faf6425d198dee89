"""Small files that are complete or absent."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write `text` to `path`; a reader sees the old or the new content. Does nothing when nothing changes."""
    try:
        if path.read_text(encoding="utf-8") == text and path.stat().st_mode & 0o777 == mode:
            return
    except OSError:
        pass
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(text)
    temporary = Path(file.name)
    temporary.chmod(mode)
    os.replace(temporary, path)  # noqa: PTH105 - Path.replace does the same, this says it is atomic
