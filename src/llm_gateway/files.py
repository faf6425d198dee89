"""Writing files so that nobody ever sees half of one, and reading what people may have edited."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Literal

from llm_gateway.errors import InputError, PreconditionError

Kind = Literal["missing", "directory", "irregular", "large", "denied", "encoding"]


class Unreadable(Exception):  # noqa: N818 - each reader makes its own error of it
    """A file that cannot be used as text.

    Attributes:
        kind: in which way.
        reason: why, as words for a person.
        at: line and column of the trouble, counted from 1.
    """

    def __init__(self, kind: Kind, reason: str, at: tuple[int, int] = (1, 1)) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.at = kind, reason, at


def read_text(path: Path, *, largest: int) -> str:
    """The UTF-8 text of a regular file, without a byte order mark. A pipe is refused: it would be waited for.

    Args:
        path: the file.
        largest: bytes; refused by its size before it is read.

    Raises:
        Unreadable: it cannot be used.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise Unreadable("directory", "it is a directory")
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("irregular", "it is no regular file")
        if found.st_size > largest:
            raise Unreadable("large", f"it is larger than {largest // 1_000_000} MB")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise Unreadable("missing", "there is no such file") from None
    except OSError as error:
        raise Unreadable("denied", error.strerror or str(error)) from None
    except ValueError:
        raise Unreadable("missing", "no file can have this name") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise Unreadable("encoding", f"byte 0x{data[error.start]:02x} is not UTF-8", (line, column)) from None


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
