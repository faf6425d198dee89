"""What pip and npm are configured with reaches every installer."""

import os
import tempfile
from pathlib import Path

import pytest

from llm_gateway.bootstrap.mirrors import known_secrets, npm_environment, pip_environment, uv_environment
from llm_gateway.bootstrap.npm_config import read_npm_config
from llm_gateway.bootstrap.pip_config import read_pip_config

MAIN, EXTRA, MORE = "https://main.example/simple", "https://extra.example/simple", "file:///srv/simple"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A person without any configuration of pip, npm or proxies, whatever this machine has."""
    return {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "npm_config_userconfig": str(tmp_path / ".npmrc"),
    }


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestPipConfig:
    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        """With files. /etc/pip.conf of this machine is read, too; later files and variables win over it."""
        return {
            "HOME": str(tmp_path),
            "XDG_CONFIG_DIRS": str(tmp_path / "etc"),
            "PIP_CONFIG_FILE": str(tmp_path / "own.conf"),
        }

    def test_variables_beat_install_beats_global(self, environ: dict[str, str], tmp_path: Path) -> None:
        everywhere = "index-url = https://g/\ntimeout = 7\nproxy = http://g:1\n"
        install = "index_url = https://i/\nproxy=http://i:1\n"
        write(tmp_path / "own.conf", f"[global]\n{everywhere}[install]\n{install}")
        config = read_pip_config({**environ, "PIP_PROXY": "http://v:1"})
        assert (config.index_url, config.timeout, config.proxy) == ("https://i/", "7", "http://v:1")

    def test_the_users_file_beats_the_global_one_unless_pip_config_file_exists(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        write(tmp_path / "etc/pip/pip.conf", "[global]\nindex-url = https://machine/\nretries = 9\n")
        write(tmp_path / ".config/pip/pip.conf", "[global]\nindex-url = https://user/\n")
        config = read_pip_config(environ)
        assert (config.index_url, config.retries) == ("https://user/", "9")
        write(tmp_path / "own.conf", "[global]\ntimeout = 3\n")
        assert read_pip_config(environ).index_url == "https://machine/"

    def test_dev_null_means_no_files(self, environ: dict[str, str], tmp_path: Path) -> None:
        write(tmp_path / ".config/pip/pip.conf", "[global]\nindex-url = https://user/\n")
        assert read_pip_config({**environ, "PIP_CONFIG_FILE": os.devnull}).index_url == ""

    def test_lists_stand_on_one_line_or_several(self, environ: dict[str, str], tmp_path: Path) -> None:
        write(tmp_path / "own.conf", f"[global]\nextra-index-url = {EXTRA}\n    {MORE}\ntrusted-host = a b:8443\n")
        config = read_pip_config(environ)
        assert (config.extra_index_urls, config.trusted_hosts) == ((EXTRA, MORE), ("a", "b:8443"))

    def test_a_broken_file_counts_as_absent(self, environ: dict[str, str], tmp_path: Path) -> None:
        write(tmp_path / "own.conf", "index-url = https://no-section/\n")
        assert read_pip_config(environ).index_url == ""

    def test_a_file_below_a_closed_directory_counts_as_absent(self, environ: dict[str, str]) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as closed:
            write(Path(closed, "own.conf"), "[global]\nindex-url = https://closed/\n")
            environ = {**environ, "PIP_CONFIG_FILE": f"{closed}/own.conf"}
            root = os.geteuid() == 0
            Path(closed).chmod(0o700 if root else 0)
            if root:
                os.seteuid(65534)
            try:
                assert read_pip_config(environ).index_url == ""
            finally:
                if root:
                    os.seteuid(0)
                Path(closed).chmod(0o700)

    @pytest.mark.parametrize("name", ["PIP_DEFAULT_TIMEOUT", "PIP_TIMEOUT"])
    def test_both_names_of_the_timeout(self, environ: dict[str, str], name: str) -> None:
        assert read_pip_config({**environ, name: "180"}).timeout == "180"


class TestUv:
    def test_the_main_index_alone_first(self, environ: dict[str, str]) -> None:
        env = uv_environment({**environ, "PIP_INDEX_URL": MAIN, "PIP_EXTRA_INDEX_URL": f"{EXTRA} {MORE}"})
        assert env["UV_DEFAULT_INDEX"] == MAIN
        assert "UV_INDEX" not in env

    def test_all_indexes_in_pips_order(self, environ: dict[str, str]) -> None:
        given = {**environ, "PIP_INDEX_URL": MAIN, "PIP_EXTRA_INDEX_URL": f"{EXTRA} {MORE}"}
        env = uv_environment(given, indexes="all")
        assert (env["UV_INDEX"], env["UV_DEFAULT_INDEX"]) == (f"{MAIN} {EXTRA}", MORE)

    def test_the_extra_ones_only(self, environ: dict[str, str]) -> None:
        env = uv_environment({**environ, "PIP_EXTRA_INDEX_URL": EXTRA}, indexes="extra")
        assert env["UV_DEFAULT_INDEX"] == EXTRA
        assert "UV_INDEX" not in env

    def test_what_the_person_told_uv_wins(self, environ: dict[str, str]) -> None:
        env = uv_environment({**environ, "PIP_INDEX_URL": MAIN, "UV_DEFAULT_INDEX": EXTRA, "UV_HTTP_TIMEOUT": "5"})
        assert (env["UV_DEFAULT_INDEX"], env["UV_HTTP_TIMEOUT"]) == (EXTRA, "5")

    def test_certificates_hosts_links_and_timeout(self, environ: dict[str, str], tmp_path: Path) -> None:
        bundle, client = write(tmp_path / "ca.pem", ""), write(tmp_path / "client.pem", "")
        links = tmp_path / "wheels"
        links.mkdir()
        env = uv_environment(
            {
                **environ,
                "PIP_CERT": str(bundle),
                "PIP_CLIENT_CERT": str(client),
                "PIP_TRUSTED_HOST": "a b",
                "PIP_FIND_LINKS": f"{links} /not/there https://links.example/",
                "PIP_TIMEOUT": "12.5",
                "PIP_RETRIES": "1",
            }
        )
        assert (env["SSL_CERT_FILE"], env["SSL_CLIENT_CERT"]) == (str(bundle), str(client))
        assert env["UV_INSECURE_HOST"] == "a b"
        assert env["UV_FIND_LINKS"] == f"{links},https://links.example/"
        assert (env["UV_HTTP_TIMEOUT"], env["UV_HTTP_RETRIES"]) == ("12", "1")

    def test_pips_proxy_beats_the_variables_and_no_proxy_stays(self, environ: dict[str, str]) -> None:
        given = {**environ, "PIP_PROXY": "u:p@proxy:3128", "https_proxy": "http://other:1", "NO_PROXY": "intern"}
        env = uv_environment(given)
        assert env["HTTPS_PROXY"] == env["https_proxy"] == env["HTTP_PROXY"] == "http://u:p@proxy:3128"
        assert env["NO_PROXY"] == "intern"

    def test_what_would_change_the_locked_set_is_dropped(self, environ: dict[str, str]) -> None:
        foreign = {
            "PYTHONDONTWRITEBYTECODE": "1",
            "UV_CONSTRAINT": "x",
            "UV_EXCLUDE_NEWER": "2020",
            "VIRTUAL_ENV": "/x",
        }
        assert not foreign.keys() & uv_environment({**environ, **foreign}).keys()

    def test_the_systems_authorities_when_nothing_is_named(self, environ: dict[str, str]) -> None:
        env = uv_environment(environ)
        assert env.get("UV_SYSTEM_CERTS") == ("1" if Path("/etc/ssl/certs/ca-certificates.crt").exists() else None)
        assert uv_environment({**environ, "SSL_CERT_FILE": "/x.pem"})["SSL_CERT_FILE"] == "/x.pem"


class TestPip:
    def test_nothing_clashes_with_a_target_directory(self, environ: dict[str, str]) -> None:
        given = {
            **environ,
            "PIP_PREFIX": "/x",
            "PIP_CONSTRAINT": "c.txt",
            "PIP_USER": "1",
            "PIP_REQUIRE_VIRTUALENV": "1",
        }
        env = pip_environment(given)
        assert not {"PIP_PREFIX", "PIP_CONSTRAINT"} & env.keys()
        assert (env["PIP_USER"], env["PIP_REQUIRE_VIRTUALENV"]) == ("0", "0")

    def test_an_index_that_only_uv_knows(self, environ: dict[str, str]) -> None:
        assert pip_environment({**environ, "UV_DEFAULT_INDEX": f"corp={MAIN}"})["PIP_INDEX_URL"] == MAIN


class TestNpm:
    def test_npm_gets_what_pip_has(self, environ: dict[str, str], tmp_path: Path) -> None:
        bundle = write(tmp_path / "ca.pem", "")
        env = npm_environment({**environ, "PIP_CERT": str(bundle), "PIP_PROXY": "http://u:p@proxy:1"})
        assert env["npm_config_cafile"] == env["NODE_EXTRA_CA_CERTS"] == str(bundle)
        assert env["npm_config_https_proxy"] == env["npm_config_proxy"] == "http://u:p@proxy:1"

    def test_npms_own_configuration_stays(self, environ: dict[str, str], tmp_path: Path) -> None:
        write(tmp_path / ".npmrc", "cafile=/npm.pem\nhttps-proxy = http://npm:1 ; no comment\n# x=y\n")
        bundle = write(tmp_path / "ca.pem", "")
        env = npm_environment({**environ, "PIP_CERT": str(bundle), "PIP_PROXY": "http://pip:1"})
        assert "npm_config_cafile" not in env
        assert "npm_config_https_proxy" not in env
        assert env["npm_config_proxy"] == "http://pip:1"

    def test_variables_in_npmrc(self, environ: dict[str, str], tmp_path: Path) -> None:
        write(tmp_path / ".npmrc", "//npm.example/:_authToken=${TOKEN}\nregistry='https://npm.example/'\n")
        config = read_npm_config({**environ, "TOKEN": "secret-token"})
        assert config["//npm.example/:_authToken"] == "secret-token"
        assert config["registry"] == "https://npm.example/"

    def test_a_trusted_host_and_a_client_certificate(self, environ: dict[str, str], tmp_path: Path) -> None:
        client = write(tmp_path / "client.pem", "")
        given = {
            **environ,
            "npm_config_registry": "https://nexus.example:8443/npm/",
            "PIP_INDEX_URL": "https://nexus.example:8443/pypi/simple",
            "PIP_TRUSTED_HOST": "nexus.example",
            "PIP_CLIENT_CERT": str(client),
        }
        env = npm_environment(given)
        assert env["npm_config_strict_ssl"] == "false"
        assert env["npm_config_//nexus.example:8443/npm/:certfile"] == str(client)


def test_every_configured_password_is_known(environ: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".npmrc", "//npm.example/:_authToken=npm-token\n")
    given = {
        **environ,
        "PIP_INDEX_URL": "https://bob:pip-pass@main/simple",
        "PIP_PROXY": "carl:proxy-pass@proxy:1",
        "HTTPS_PROXY": "http://dora:env-pass@proxy:1",
        "UV_INDEX": "corp=https://eve:uv-pass@corp/simple",
        "UV_INDEX_CORP_PASSWORD": "named-pass",
    }
    assert {"pip-pass", "proxy-pass", "env-pass", "uv-pass", "named-pass", "npm-token"} <= set(known_secrets(given))
