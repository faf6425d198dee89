"""down: stop, and on request delete the data that the kit made."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from llm_gateway.results import Result
from llm_gateway.services.postgres import outside
from llm_gateway.verbs.start import stop

if TYPE_CHECKING:
    from pathlib import Path

    from llm_gateway.verbs.context import Context

# Everything in state/ but `.env`, which may hold the person's own provider keys, and the backups.
_DATA = ("postgres", "redis", "processes", "run", "supervisord.conf", "effective-config.yaml")


def data_of(context: Context) -> list[Path]:
    """What `--volumes` would delete."""
    return [path for name in _DATA if (path := context.home.state / name).exists() or path.is_symlink()]


def down(context: Context, *, volumes: bool) -> Result:
    """Stop everything; with `volumes` delete the data of this home.

    The person was asked before. `.env`, backups, configs and logs stay.
    """
    stop(context)
    removed = []
    if volumes:
        for path in data_of(context):
            target = path.resolve()
            if path.is_symlink():
                path.unlink()
                target = outside(context.home)
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            removed.append(str(path))
    text = "Stopped." + (
        " Deleted:\n" + "\n".join(f"  {path}" for path in removed) if removed else " Nothing was deleted."
    )
    return Result("down", {"removed": removed}, text)
