"""What pip on this machine is configured with, read the way pip reads it.

Files, sections and their order follow pip's documentation ("Configuration"): global, user and site file,
then the file named by PIP_CONFIG_FILE; `[install]` over `[global]`; `PIP_*` variables over everything.
Reading the files costs a millisecond; asking `pip config list` costs half a second and needs a pip.
"""

from __future__ import annotations

import configparser
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TRUE = {"1", "true", "yes", "on", "y", "t"}
_SAME_OPTION = {"default-timeout": "timeout", "pypi-url": "index-url"}


@dataclass(frozen=True, slots=True)
class PipConfig:
    """pip's answer for the options that decide where packages come from. Empty means "not configured"."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    cert: str = ""
    client_cert: str = ""
    trusted_hosts: tuple[str, ...] = ()
    proxy: str = ""
    timeout: str = ""
    retries: str = ""
    keyring_provider: str = ""
    no_cache: bool = False
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def urls(self) -> tuple[str, ...]:
        """Everything that may carry credentials."""
        return (self.index_url, *self.extra_index_urls, *self.find_links, self.proxy)


def read_pip_config(environ: Mapping[str, str], *, prefix: str = sys.prefix) -> PipConfig:
    """Read pip's configuration files and variables. Unreadable or broken files count as absent, as in pip."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in _files(environ, prefix):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section, values in sections.items():
            if parser.has_section(section):
                values.update({_name(key): value for key, value in parser.items(section)})
    merged = {**sections["global"], **sections["install"], **dict(_variables(environ))}
    return PipConfig(
        index_url=merged.get("index-url", "").strip(),
        extra_index_urls=tuple(merged.get("extra-index-url", "").split()),
        find_links=tuple(merged.get("find-links", "").split()),
        no_index=_flag(merged.get("no-index", "")),
        cert=_path(merged.get("cert", "")),
        client_cert=_path(merged.get("client-cert", "")),
        trusted_hosts=tuple(merged.get("trusted-host", "").split()),
        proxy=merged.get("proxy", "").strip(),
        timeout=merged.get("timeout", "").strip(),
        retries=merged.get("retries", "").strip(),
        keyring_provider=merged.get("keyring-provider", "").strip(),
        # pip reads the odd-looking `no-cache-dir = false` as "do not cache" as well as `true`; only the
        # explicit wish counts here.
        no_cache=_flag(merged.get("no-cache-dir", "")),
        values=merged,
    )


def _files(environ: Mapping[str, str], prefix: str) -> Iterator[Path]:
    own = environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:
        return
    home = Path(environ.get("HOME") or Path.home())
    mac = sys.platform == "darwin"
    if mac:
        yield Path("/Library/Application Support/pip/pip.conf")
    else:
        for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
            yield Path(folder) / "pip/pip.conf"
        yield Path("/etc/pip.conf")
    # A PIP_CONFIG_FILE that exists replaces the user's file.
    if not (own and os.path.exists(own)):  # noqa: PTH110 - Path.exists raises below a closed directory
        yield home / ".pip/pip.conf"
        config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        library = home / "Library/Application Support/pip"
        yield library / "pip.conf" if mac and os.path.isdir(library) else config_home / "pip/pip.conf"  # noqa: PTH112
    yield Path(prefix) / "pip.conf"
    if own:
        yield Path(own)


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value:
            yield _name(name[len("PIP_") :]), value


def _name(raw: str) -> str:
    name = raw.strip().lower().replace("_", "-").removeprefix("--")
    return _SAME_OPTION.get(name, name)


def _flag(value: str) -> bool:
    return value.strip().lower() in _TRUE


def _path(value: str) -> str:
    return str(Path(value.strip()).expanduser()) if value.strip() else ""
