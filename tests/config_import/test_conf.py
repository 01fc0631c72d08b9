"""Files as oslo.config reads them."""

import pytest

from proxy.config_import.conf import ConfBroken, parse
from proxy.config_import.paste import parse_paste
from tests.config_import.imported import imported

KEYSTONE = "[paste_deploy]\nflavor = keystone\n"


def values(*texts: str) -> dict[str, object]:
    return imported(*texts, KEYSTONE).values


def test_the_last_assignment_of_the_last_file_counts() -> None:
    outcome = imported("[DEFAULT]\nbind_port = 1\nbind_port = 2\n", "[DEFAULT]\nbind_port = 3\n")
    assert outcome.values["server.port"] == 3
    assert outcome.reasons("bind_port") == ["glance-api.conf1:2 says it again, and counts"] * 2


def test_an_older_name_in_a_later_file_wins_over_the_newer_one_in_an_earlier_file() -> None:
    newer, older = "[keystone_authtoken]\nusername = new\n", "[keystone_authtoken]\nadmin_user = old\n"
    assert values(newer, older)["auth.keystone.username"] == "old"
    assert values(older + newer.partition("\n")[2])["auth.keystone.username"] == "new"


def test_a_value_goes_on_in_lines_that_begin_with_a_space() -> None:
    text = "[cors]\n# comment\nallowed_origin = https://a,\n    https://b\n\tgone_on = no option\n"
    (said,) = parse(text, "x")
    assert (said.line, said.text) == (3, "https://a,\nhttps://b\ngone_on = no option")


@pytest.mark.parametrize(
    "text", ["bind_port = 7", "bind_port=7", "bind_port: 7", "bind_port = '7'", 'bind_port = "7"  ']
)
def test_a_value_may_follow_a_colon_and_stand_in_quotes(text: str) -> None:
    assert values(f"[DEFAULT]\n{text}\n")["server.port"] == 7


def test_sections_are_compared_by_small_letters_but_for_default() -> None:
    assert values("[Cors]\nmax_age = 5\n")["cors.max_age"] == 5
    assert "server.port" not in values("[default]\nbind_port = 7\n")


def test_other_sections_inherit_nothing_from_default() -> None:
    """As configparser would have it."""
    outcome = imported("[DEFAULT]\nregion_name = one\n[keystone_authtoken]\nusername = u\n")
    assert "auth.keystone.region_name" not in outcome.values
    assert outcome.reasons("region_name") == ["no Glance reads an option of this name"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://$bind_host:$bind_port", "http://a.example.org:9292"),
        ("http://${bind_host}x", "http://a.example.orgx"),
        ("http://${cors.max_age}/$keystone_authtoken.region_name", "http://5/one"),
        ("http://$$bind_host", "http://$bind_host"),
        (r"http://\$bind_host", "http://$bind_host"),
        ("http://100%/%(x)s", "http://100%/%(x)s"),
        ("http://$public_host", "http://a.example.org:9292"),
    ],
)
def test_a_variable_stands_for_another_option(value: str, expected: str) -> None:
    """Also for one that is given nowhere, by Glance's default of it, and for one that Glance does not know."""
    around = "public_host = $bind_host:$bind_port\n[cors]\nmax_age = 5\n[keystone_authtoken]\nregion_name = one\n"
    text = f"[DEFAULT]\nbind_host = a.example.org\npublic_endpoint = {value}\n{around}"
    assert values(text)["server.public_endpoint"] == expected


def test_variables_that_stand_for_one_another_are_told() -> None:
    outcome = imported("[DEFAULT]\npublic_endpoint = $bind_host\nbind_host = $public_endpoint\n")
    assert outcome.reasons("public_endpoint") == ["its variables stand for one another without an end; left out"]


def test_an_option_of_many_values_takes_those_of_all_files() -> None:
    first = "[glance_store]\nfilesystem_store_datadirs = /a\nfilesystem_store_datadirs = /b:20\n"
    found = values(first, "[glance_store]\nfilesystem_store_datadirs = /c:3\n")
    assert found["stores.backends.file.dirs"] == [
        {"path": "/a", "priority": 0},
        {"path": "/b", "priority": 20},
        {"path": "/c", "priority": 3},
    ]


def test_a_value_that_the_sample_leaves_open_is_none() -> None:
    outcome = imported("[database]\nconnection = <None>\n")
    assert "registry.url" not in outcome.values
    assert outcome.reasons("connection") == ["stands for a value that is not set; taken as not given"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[DEFAULT]\nhunter2\n", 2),
        ("bind_port = hunter2\n", 1),
        ("[DEFAULT\nx = hunter2\n", 1),
        ("[]\n", 1),
        ("[DEFAULT]\n\n   hunter2\n", 3),
        ("[DEFAULT]\n= hunter2\n", 2),
    ],
)
def test_a_file_that_glance_could_not_read_is_told_by_its_line_and_not_repeated(text: str, line: int) -> None:
    with pytest.raises(ConfBroken, match=rf"^x\.conf:{line}: ") as told:
        parse(text, "x.conf")
    assert "hunter2" not in str(told.value)


OLD = """\
[pipeline:glance-api-keystone]
pipeline = cors healthcheck versionnegotiation authtoken audit context rootapp
[filter:audit]
paste.filter_factory = keystonemiddleware.audit:filter_factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = false
"""
NEW = """\
[composite:api]
paste.composite_factory = glance.api:pipeline_factory
default = unauthenticated-context rootapp
keystone = cors authtoken audit context rootapp
[app:healthcheck]
disable_by_file_path = /etc/glance/healthcheck_disable
[filter:audit]
paste.filter_factory = keystonemiddleware.audit:filter_factory
[filter:authtoken]
delay_auth_decision = false
"""


@pytest.mark.parametrize("paste", [OLD, NEW], ids=["pipelines", "composite"])
def test_the_paste_file_says_who_is_asked_and_wins_over_the_section(paste: str) -> None:
    text = f"{KEYSTONE}[keystone_authtoken]\ndelay_auth_decision = true\n"
    outcome = imported(text, paste=paste)
    assert outcome.values["auth.kind"] == "keystone"
    assert outcome.values["auth.keystone.delay_auth_decision"] is False
    foreign = [one.reason for one in outcome.imported.dropped if one.reason.startswith("filter ")]
    assert foreign == [
        "filter audit (keystonemiddleware.audit:filter_factory) is none of Glance's: Glint's pipeline is fixed"
    ]


def test_a_paste_file_that_does_not_say_when_to_decide_leaves_it_to_the_section() -> None:
    silent = OLD.replace("delay_auth_decision = false\n", "")
    section = "[keystone_authtoken]\ndelay_auth_decision = yes\n"
    assert imported(KEYSTONE, paste=silent).assumed["auth.keystone.delay_auth_decision"] is False
    assert imported(KEYSTONE + section, paste=silent).values["auth.keystone.delay_auth_decision"] is True
    assert "auth.keystone.delay_auth_decision" not in imported(KEYSTONE).assumed


def test_the_paste_files_place_of_the_health_check_wins_over_the_section() -> None:
    outcome = imported(f"{KEYSTONE}[healthcheck]\ndisable_by_file_path = /x\n", paste=NEW)
    assert outcome.values["api.healthcheck_disable_file"] == "/etc/glance/healthcheck_disable"


def test_a_flavor_that_the_paste_file_does_not_have_is_known_by_its_name() -> None:
    assert parse_paste(NEW, "x").pipeline("keystone+caching") is None
    assert imported("[paste_deploy]\nflavor = keystone+caching\n", paste=NEW).values["auth.kind"] == "keystone"
