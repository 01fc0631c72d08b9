"""The file of property protections: what it means, and what is wrong with it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.policy import Action, Policy, PropertyProtections, ProtectionFileBroken, RuleFormat, load_protections
from upstream.types import Context, Image

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = "create = {0}\nread = {0}\nupdate = {0}\ndelete = {0}\n"


def who(*roles: str, service_roles: tuple[str, ...] = ()) -> Context:
    return Context(project_id="p", roles=frozenset(roles), service_roles=frozenset(service_roles))


def protections(
    folder: Path, text: str, rule_format: RuleFormat = "roles", policy: Policy | None = None
) -> PropertyProtections:
    file = folder / "protections.conf"
    file.write_text(text)
    return load_protections(file, rule_format, policy or Policy())


def test_without_a_file_everything_is_everybodys() -> None:
    unset = load_protections(None, "roles", Policy())
    image = Image(id="i", created_at=NOW, updated_at=NOW, properties={"a": "1"})
    assert unset.allow(Action.DELETE, "a", Context())
    assert unset.seen(image, Context()) is image


def test_the_first_section_that_fits_decides_and_what_none_fits_is_nobodys(tmp_path: Path) -> None:
    text = "[secret]\n" + ALL.format("admin") + "[.*]\n" + ALL.format("@") + "[^late$]\n" + ALL.format("!")
    given = protections(tmp_path, text)
    assert not given.allow(Action.READ, "a_secret_b", who("member"))
    assert given.allow(Action.READ, "a_secret_b", who("admin"))
    assert given.allow(Action.READ, "late", who())
    only = protections(tmp_path, "[^a$]\n" + ALL.format("@"))
    assert not only.allow(Action.READ, "b", who("admin"))


@pytest.mark.parametrize(
    ("names", "context", "allowed"),
    [
        ("Admin, member", who("member"), True),
        ("Admin,member", who("admin"), True),
        ("admin", who("member"), False),
        ("service", who("member", service_roles=("service",)), True),
        ("@", who(), True),
        ("!", who("admin"), False),
        ("!, admin", who("admin"), False),
        ("", who("admin"), False),
    ],
)
def test_roles_of_the_user_and_of_its_service_count(
    tmp_path: Path, names: str, context: Context, *, allowed: bool
) -> None:
    assert protections(tmp_path, "[x]\n" + ALL.format(names)).allow(Action.UPDATE, "x", context) is allowed


def test_each_action_has_its_own_names(tmp_path: Path) -> None:
    given = protections(tmp_path, "[x]\ncreate = a\nread = b\nupdate = c\ndelete = d\n")
    for action, role in zip(Action, "abcd", strict=True):
        assert [each for each in "abcd" if given.allow(action, "x", who(each))] == [role]


def test_glances_own_properties_are_not_the_files_to_protect(tmp_path: Path) -> None:
    given = protections(tmp_path, "[os_glance_x]\n" + ALL.format("!") + "[.*]\n" + ALL.format("!"))
    assert given.allow(Action.READ, "os_glance_x", who())
    assert not given.allow(Action.READ, "x", who())


def test_an_image_is_seen_without_what_may_not_be_read(tmp_path: Path) -> None:
    given = protections(tmp_path, "[^a$]\n" + ALL.format("admin") + "[^b$]\n" + ALL.format("@"))
    image = Image(id="i", created_at=NOW, updated_at=NOW, properties={"a": "1", "b": "2", "c": "3"})
    assert given.seen(image, who()).properties == {"b": "2"}
    assert given.seen(image, who("admin")).properties == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("text", "rule_format", "problem"),
    [
        ("create = @", "roles", "cannot be parsed"),
        ("[a]\ncreate = @\n[a]\n", "roles", "cannot be parsed"),
        ("\xff", "roles", "cannot be parsed"),
        ("[a]\ncreate = @\n", "roles", r"\[a\] lacks read"),
        ("[a(]\n" + ALL.format("@"), "roles", r"\[a\(\] is no regular expression"),
        ("[a]\n" + ALL.format("@, !"), "roles", "exclude each other"),
        ("[a]\n" + ALL.format("%(nothing)s"), "roles", r"\[a\]"),
        ("[a]\n" + ALL.format("default, get_image"), "policies", "one policy rule is expected"),
        ("[a]\n" + ALL.format("no_such_rule"), "policies", "the policy has no rule 'no_such_rule'"),
    ],
)
def test_a_file_that_cannot_be_followed_says_where_it_is_wrong(
    tmp_path: Path, text: str, rule_format: RuleFormat, problem: str
) -> None:
    (tmp_path / "file").write_bytes(text.encode("latin-1"))
    with pytest.raises(ProtectionFileBroken, match=problem):
        load_protections(tmp_path / "file", rule_format, Policy())


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProtectionFileBroken) as caught:
        protections(tmp_path, "[a]\ncreate = @\n[b(]\n" + ALL.format("@"))
    assert len(caught.value.problems) == 2


def test_a_file_that_is_not_there_or_endless_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtectionFileBroken, match="cannot be read: No such file"):
        load_protections(tmp_path / "none", "roles", Policy())
    (tmp_path / "long").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ProtectionFileBroken, match="longer"):
        load_protections(tmp_path / "long", "roles", Policy())


def test_rules_of_the_policy_decide_for_tokens_of_every_scope(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text('"maker": "role:member or rule:context_is_admin"')
    given = protections(tmp_path, "[x]\n" + ALL.format("maker"), "policies", Policy(tmp_path / "policy.yaml"))
    assert given.allow(Action.CREATE, "x", who("member"))
    assert given.allow(Action.CREATE, "x", Context(system_scope="all", roles=frozenset({"admin"})))
    assert not given.allow(Action.CREATE, "x", who("reader"))


async def test_a_policy_file_that_loses_a_rule_of_a_protection_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"maker": "role:member"')
    policy = await asyncio.to_thread(Policy, file)
    given = await asyncio.to_thread(protections, tmp_path, "[x]\n" + ALL.format("maker"), "policies", policy)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(policy.watch(poll_s=0.01))
        with capture_logs() as logs:
            file.write_text('"others": "role:member"')
            async with asyncio.timeout(30):
                while not any(entry["event"].startswith("policy.") for entry in logs):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
        watching.cancel()
    told = [entry for entry in logs if entry["event"].startswith("policy.")]
    assert told[0]["event"] == "policy.broken"
    assert told[0]["problems"] == ["maker: a property protection needs this rule"]
    assert given.allow(Action.CREATE, "x", who("member"))
