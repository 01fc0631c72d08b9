"""`glint config import`: what it writes, what it says, and how it ends."""

import json
import stat
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from proxy.cli import app
from proxy.config import load

SAMPLE = Path(__file__).with_name("glance-api-mitaka.conf")
WHOLE = """\
[DEFAULT]
bind_host = 192.0.2.10
transport_url = rabbit://glance:hunter2@mq:5672,glance:hunter2@mq2:5672//
image_cache_dir = {folder}/cache
[database]
connection = postgresql+psycopg2://glance:hunter2@db.example.org/glance
[glance_store]
filesystem_store_datadir = {folder}/images
filesystem_store_file_perm = 640
swift_store_key = hunter2
[keystone_authtoken]
auth_url = https://keystone.example.org:5000/v3
username = glance
password = hunter2
memcached_servers = 192.0.2.20:11211
memcache_security_strategy = ENCRYPT
memcache_secret_key = hunter2
[paste_deploy]
flavor = keystone
[of_another]
password = hunter2
"""


def glint(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["config", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration with all that Glint needs."""
    path = tmp_path / "glance-api.conf"
    path.write_text(WHOLE.format(folder=tmp_path))
    return path


def test_the_result_passes_the_check_and_says_where_each_value_comes_from(conf: Path, tmp_path: Path) -> None:
    output = tmp_path / "config.yaml"
    result = glint("import", conf, "-o", output)
    assert result.exit_code == 0, result.output
    assert glint("check", "--config", output).stdout == "ok\n"
    config = load(output)
    assert config.registry.url == "postgresql+psycopg2://glance:hunter2@db.example.org/glance"
    assert config.auth.keystone.password is not None
    assert config.auth.keystone.password.get_secret_value() == "hunter2"
    lines = output.read_text().splitlines()
    (host,) = (line for line in lines if line.startswith("  host:"))
    assert host.split("#") == [f"{'  host: 192.0.2.10':<56} ", f" {conf}:2 [DEFAULT] bind_host"]
    assert any(line.startswith("      file_mode: 0640 ") for line in lines)
    assert any(line.startswith("  size_max: 10 GiB ") and "Glance's default" in line for line in lines)


def test_secrets_go_into_a_file_of_the_owner_alone_and_onto_no_terminal(conf: Path, tmp_path: Path) -> None:
    output = tmp_path / "config.yaml"
    output.write_text("")
    output.chmod(0o644)
    results = [glint("import", conf, "-o", output, "--force"), glint("import", conf), glint("import", conf, "--json")]
    assert "hunter2" in output.read_text()
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    for result in results:
        assert result.exit_code == 0, result.output
        assert "hunter2" not in result.output
        assert "***" in result.output


def test_without_an_output_the_file_is_on_standard_output_and_the_report_beside_it(conf: Path) -> None:
    result = glint("import", conf)
    assert yaml.safe_load(result.stdout)["server"]["host"] == "192.0.2.10"
    assert f"  {conf}:2 [DEFAULT] bind_host = 192.0.2.10 -> server.host = 192.0.2.10" in result.stderr.splitlines()


def test_a_file_that_is_there_stays_unless_forced(conf: Path, tmp_path: Path) -> None:
    output = tmp_path / "config.yaml"
    output.write_text("mine")
    result = glint("import", conf, "-o", output)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"glint: {output}: is there already; --force replaces it\n"
    assert output.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "glance-api.conf"]


def test_the_report_speaks_of_each_line(conf: Path, tmp_path: Path) -> None:
    report = glint("import", conf, "-o", tmp_path / "config.yaml").stdout.splitlines()
    titles = [line for line in report if line.endswith(":") and not line.startswith(" ")]
    assert titles == [
        "Mapped:",
        "Written, though no line says it:",
        "Without a counterpart:",
        "Left at Glint's default:",
    ]
    for number, line in enumerate(conf.read_text().splitlines(), start=1):
        told = [each for each in report if f"{conf}:{number} " in each]
        assert bool(told) is not line.startswith("["), line
    assert "  metrics: host, port" in report


def test_the_report_is_there_for_programs_too(conf: Path, tmp_path: Path) -> None:
    output = tmp_path / "config.yaml"
    told = json.loads(glint("import", conf, "-o", output, "--json").stdout)
    assert told["works"] is True
    assert told["problems"] == told["would_not_work"] == []
    assert (told["files"], told["output"]) == ([str(conf)], str(output))
    (host,) = (one for one in told["mapped"] if one["key"] == "server.host")
    said = {"file": str(conf), "line": 2, "section": "DEFAULT", "option": "bind_host", "value": "192.0.2.10"}
    assert host == {"key": "server.host", "value": "192.0.2.10", "note": None, "said": [said]}
    assert "metrics.port" in told["left_at_default"]
    assert {"reason": "no swift store is enabled", "said": told["no_counterpart"][1]["said"]} in told["no_counterpart"]


def test_the_sample_of_mitaka_lacks_a_database_and_a_login_and_each_is_told(tmp_path: Path) -> None:
    """It is written all the same: what is missing goes in by hand."""
    output = tmp_path / "config.yaml"
    result = glint("import", SAMPLE, "-o", output)
    assert result.exit_code == 1
    problems = result.stdout.split("Would not work:\n")[1].splitlines()
    assert problems[:3] == [
        "  [database] connection is not given: Glint would begin with an empty registry of its own",
        "  auth.keystone.username: required, but not given",
        "  auth.keystone.password: required, but not given",
    ]
    login = ("--set", "auth.keystone.username=glance", "--set", "auth.keystone.password=secret")
    assert glint("check", "--config", output, *login).stdout == "ok\n"
    config = load(output, login[1::2])
    assert str(config.auth.keystone.auth_url) == "http://keystone.example:5000/v3"
    assert config.auth.keystone.region_name == "1008"
    assert config.token_cache.memcached_servers == ("memcache.example:11211",)
    assert config.stores.default == "file"
    assert [str(backend.dir) for backend in config.stores.backends.values() if backend.kind == "file"] == [
        "/home/glance/image"
    ]


def test_what_the_check_would_say_is_said_with_the_line_it_comes_from(conf: Path, tmp_path: Path) -> None:
    conf.write_text(conf.read_text().replace("192.0.2.20:11211", "192.0.2.20:x"))
    result = glint("import", conf, "-o", tmp_path / "config.yaml", "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem.startswith("token_cache.memcached_servers.0: expected a server such as")
    assert problem.endswith(f" ({conf}:15)")


def test_files_are_read_in_the_order_of_glance_and_those_of_a_folder_come_last(conf: Path, tmp_path: Path) -> None:
    more, folder = tmp_path / "more.conf", tmp_path / "conf.d"
    folder.mkdir()
    more.write_text("[DEFAULT]\nbind_host = 192.0.2.11\nbind_port = 1\n")
    (folder / "20.conf").write_text("[DEFAULT]\nbind_port = 3\n")
    (folder / "10.conf").write_text("[DEFAULT]\nbind_port = 2\n")
    (folder / "30.txt").write_text("[DEFAULT]\nbind_port = 4\n")
    server = yaml.safe_load(glint("import", "--config-dir", folder, conf, more).stdout)["server"]
    assert (server["host"], server["port"]) == ("192.0.2.11", 3)


def test_neighbours_that_were_not_named_are_told(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "glance-image-import.conf").write_text("")
    told = f"Not read, though it lies there: {tmp_path}/glance-image-import.conf"
    assert told in glint("import", conf).stderr.splitlines()
    assert told not in glint("import", conf, tmp_path / "glance-image-import.conf").stderr.splitlines()


def test_files_that_lie_beside_are_found_and_looked_into(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("get_image: 5\n")
    (tmp_path / "glance-api-paste.ini").write_text("[filter:authtoken]\ndelay_auth_decision = false\n")
    result = glint("import", conf, "-o", tmp_path / "config.yaml")
    assert result.exit_code == 1
    assert f"  api.policy_file: {tmp_path}/policy.yaml: " in result.stdout.split("Would not work:\n")[1]
    document = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert document["auth"]["keystone"]["delay_auth_decision"] is False


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"[DEFAULT]\nhunter2\n", "2: No ':' or '=' found in assignment"),
        (b"\xff\xfe", "is no text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_ends_it_before_anything_is_written(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "glance-api.conf"
    if content is not None:
        path.write_bytes(content)
    result = glint("import", path, "-o", tmp_path / "config.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"glint: {path}:")
    assert result.stderr.endswith(f"{told}\n")
    assert "hunter2" not in result.output
    assert not (tmp_path / "config.yaml").exists()


def test_an_output_that_cannot_be_written_is_told(conf: Path, tmp_path: Path) -> None:
    result = glint("import", conf, "-o", tmp_path / "none" / "config.yaml")
    assert result.exit_code == 2
    assert result.stderr == f"glint: {tmp_path}/none/config.yaml: cannot be written: No such file or directory\n"


def test_without_a_file_it_says_which_one_is_meant() -> None:
    result = glint("import")
    assert result.exit_code == 2
    assert "name a file such as /etc/glance/glance-api.conf" in result.stderr
