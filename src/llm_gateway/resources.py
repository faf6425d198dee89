"""Where the files stand that people read and edit, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """The path of `devcontainer-feature.json` or `configs`.

    The wheel carries copies in `_data`; a checkout has the originals at its top. The originals win, so that an
    editable installation never serves a stale copy.

    Raises:
        FileNotFoundError: neither is there; the installation is broken.
    """
    for candidate in (_PACKAGE.parent.parent / name, _PACKAGE / "_data" / name):
        if candidate.exists() and (candidate.parent != _PACKAGE.parent.parent or _is_checkout()):
            return candidate
    raise FileNotFoundError(name)


def _is_checkout() -> bool:
    return (_PACKAGE.parent.parent / "pyproject.toml").is_file()
