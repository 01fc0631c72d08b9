"""`glint config`, and how commands complain about their arguments."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from proxy.cli import app
from proxy.config import load
from tests.preloaded import driver

SHIPPED = Path(__file__).parents[2] / "config.yaml"


def glint(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"GLINT_CONFIG": str(SHIPPED), "COLUMNS": "200"} | environment)


def test_a_good_configuration_is_ok() -> None:
    result = glint("config", "check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "ok\n", "")


def test_all_problems_go_to_standard_error_with_exit_status_2() -> None:
    result = glint("config", "check", "--set", "cache.sizes=1", "--set", "logging.level=loud")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "glint: cache.sizes: unknown key; did you mean size_max?",
        "glint: logging.level: expected 'debug', 'info', 'warning' or 'error', got 'loud'",
    ]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("registry.url=oracle://u:hunter2@db/glance", "registry.url: expected a scheme among sqlite, postgresql, "),
        ("cache.size_max=500", "cache.size_max: no image fits into 500 bytes; expected a size with its unit"),
        ("metrics.port=9292", "metrics.port: expected another port than server.port, 9292"),
    ],
)
def test_what_is_well_formed_and_cannot_be_meant_is_told(override: str, told: str) -> None:
    result = glint("config", "check", "--set", override)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"glint: {told}")
    assert "hunter2" not in result.stderr


def test_files_that_are_missing_and_kinds_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("get_image: 5\n")
    result = glint(
        "config",
        "check",
        *("--set", f"server.tls.certificate={tmp_path}/cert.pem", "--set", f"server.tls.key={tmp_path}/key.pem"),
        *("--set", f"stores.backends.web.ca_file={tmp_path}/ca.pem"),
        *("--set", f"api.policy_file={tmp_path}/policy.yaml", "--set", "registry.kind=remote"),
    )
    assert result.exit_code == 2
    told = result.stderr.splitlines()
    assert told[:3] == [
        f"glint: server.tls.certificate: {tmp_path}/cert.pem cannot be read: No such file or directory",
        f"glint: server.tls.key: {tmp_path}/key.pem cannot be read: No such file or directory",
        f"glint: stores.backends.web.ca_file: {tmp_path}/ca.pem cannot be read: No such file or directory",
    ]
    assert told[3].startswith(f"glint: api.policy_file: {tmp_path}/policy.yaml: ")
    assert told[4].startswith("glint: registry.remote.url: kind remote needs it")


def test_every_file_of_the_api_that_cannot_be_followed_is_told(tmp_path: Path) -> None:
    (tmp_path / "protections.conf").write_text("[secret]\ncreate = admin\n")
    (tmp_path / "schema.json").write_text('{"name": {"type": "string"}}')
    result = glint(
        *("config", "check", "--set", f"api.property_protection_file={tmp_path}/protections.conf"),
        *("--set", f"api.image_schema_file={tmp_path}/schema.json"),
    )
    assert result.exit_code == 2
    protections, schema = result.stderr.splitlines()
    assert protections == f"glint: api.property_protection_file: {tmp_path}/protections.conf: [secret] lacks read"
    assert schema.startswith(f"glint: api.image_schema_file: {tmp_path}/schema.json: name: an attribute of every image")


def test_a_program_that_a_plugin_lacks_is_told_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = glint("config", "check", "--set", "api.import_plugins=[image_conversion]")
    assert result.exit_code == 2
    assert "qemu-utils" in result.stderr


@pytest.mark.parametrize("key", ["property_protection_file", "image_schema_file"])
def test_serve_does_not_start_with_a_file_that_cannot_be_followed(tmp_path: Path, key: str) -> None:
    """In a process of its own: what serves sets up logging for good."""
    settings = ("--set", f"api.{key}={tmp_path}/none", "--set", f"registry.url=sqlite:///{tmp_path}/registry.db")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = driver().run(["serve", "--config", SHIPPED, *settings], environment, tmp_path, timeout_s=60)
    assert ended.returncode == 1
    assert f"{tmp_path}/none: cannot be read: No such file or directory" in ended.stderr


def test_show_is_a_configuration_that_means_the_same(tmp_path: Path) -> None:
    folders = "stores.backends.local={kind: file, dirs: [{path: a, priority: 2}, {path: /b}]}"
    said = ["cache.size_max=1234567", "server.drain_s=0.5", folders]
    result = glint("config", "show", *(word for one in said for word in ("--set", one)))
    assert result.exit_code == 0
    again = tmp_path / "config.yaml"
    again.write_text(result.stdout)
    assert load(again) == load(SHIPPED, said)


def test_show_tells_who_said_what() -> None:
    result = glint("config", "show", "--set", "cache.size_max=2 GiB", GLINT_SERVER__PORT="1")
    lines = {tuple(line.split("#")) for line in result.stdout.splitlines() if "#" in line}
    said = {key.strip(): who.strip() for key, who in lines}
    assert said["size_max: 2 GiB"] == "--set"
    assert said["port: 1"] == "GLINT_SERVER__PORT"
    assert said["fills_max: 64"] == str(SHIPPED)


def test_show_masks_every_secret() -> None:
    secrets = {
        "GLINT_AUTH__KEYSTONE__PASSWORD": "hunter2",
        "GLINT_TOKEN_CACHE__SECRET_KEY": "hunter2",
        "GLINT_REGISTRY__URL": "postgresql://glint:hunter2@db.example.org/glance",
        "GLINT_REGISTRY__REMOTE__KEY": "hunter2" * 5,
        "GLINT_STORES__BACKENDS__WEB__HTTPS_PROXY": "http://glint:hunter2@10.0.0.1:3128",
        "GLINT_NOTIFICATIONS__URL": "amqp://glint:hunter2@mq.example.org//",
    }
    result = glint("config", "show", **secrets)
    assert "hunter2" not in result.output
    document = yaml.safe_load(result.stdout)
    assert document["auth"]["keystone"]["password"] == "***"
    assert document["registry"]["url"] == "postgresql://glint:***@db.example.org/glance"
    assert document["registry"]["remote"]["key"] == ["***"]
    assert document["stores"]["backends"]["web"]["https_proxy"] == "***"
    assert document["notifications"]["url"] == "amqp://glint:***@mq.example.org//"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("prewarm",), "name images, or choose some by --tag, --property or --all"),
        (("prewarm", "--property", "ubuntu"), "expected K=V, such as os_distro=ubuntu, got 'ubuntu'"),
        (("prewarm", "x", "--concurrency", "0"), "greater than or equal to 1"),
        (("cache", "evict"), "Missing argument"),
        (("cache", "list", "--node", "compute-7:9292"), "expected a URL such as http://10.0.0.7:9292"),
        (("cache", "list", "--offline", "--node", "http://x"), "--offline works on this machine's folder"),
    ],
)
def test_wrong_usage_says_what_would_be_right(arguments: tuple[str, ...], told: str) -> None:
    result = glint(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_the_version_is_told_without_a_configuration(tmp_path: Path) -> None:
    result = glint("--version", GLINT_CONFIG=str(tmp_path / "missing.yaml"))
    assert (result.exit_code, result.stdout) == (0, f"glint {version('glint')}\n")


def test_a_shell_completes_commands() -> None:
    result = glint(_GLINT_COMPLETE="complete_bash", COMP_WORDS="glint ca", COMP_CWORD="1")
    assert (result.exit_code, result.stdout) == (0, "cache\n")
