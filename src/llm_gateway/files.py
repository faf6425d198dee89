"""Writing files so that nobody ever sees half of one, and reading JSON that people may have edited."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from llm_gateway.errors import InputError, PreconditionError


def write_atomic(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace `path` by `text` (UTF-8) in one rename.

    Raises:
        PreconditionError: E103, the directory cannot be written or the disk is full. The old file is still there.
    """
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise PreconditionError(
            "E103",
            f"{path} cannot be written: {error.strerror}.",
            cause="The disk is full, or the directory belongs to another user or is read-only.",
            next=f"Look at it: df -h {path.parent}; ls -ld {path.parent}",
        ) from None


def write_json(path: Path, value: object, *, mode: int = 0o600) -> None:
    """Write `value` as indented JSON, atomically. Errors as `write_atomic`."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True) + "\n", mode=mode)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; an empty one when the file is not there.

    Raises:
        InputError: E104, unreadable or not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            "E104",
            f"{path} cannot be read: {error}.",
            cause="It was edited or cut off.",
            next=f"Mend it or move it away: mv {path} {path}.broken",
        ) from None
    if isinstance(value, dict):
        return value
    raise InputError(
        "E104",
        f"{path} holds no JSON object.",
        cause="It was edited or cut off.",
        next=f"Mend it or move it away: mv {path} {path}.broken",
    )
