"""Our evaluation of check strings against oslo.policy's own, and what is no check string."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_policy import policy as oslo

from proxy.policy.checks import RulesBroken, compile_rules
from proxy.policy.rules import RULES

DEFAULTS = compile_rules(RULES)
NAMES = ["p1", "p2", "None", "public", "shared", "admin", "Reader"]
LEAVES = [
    "@",
    "!",
    "role:admin",
    "role:READER",
    "role:%(name)s",
    "rule:base",
    "project_id:%(project_id)s",
    "project_id:%(missing)s",
    "user_id:p1",
    "user_id:%(name)s-%(project_id)s",
    "roles:admin",
    "service_roles:%(name)s",
    "nothing:p1",
    "'public':%(visibility)s",
    "True:%(protected)s",
    "None:%(project_id)s",
    "7:%(size)s",
    "user.domain:p1",
]

texts = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda text: f"not {text}"),
    ),
    max_leaves=6,
)
name = st.sampled_from(NAMES)
targets = st.fixed_dictionaries(
    {"project_id": st.none() | name, "name": name, "visibility": name, "protected": st.booleans(), "size": st.just(7)}
)
credentials = st.fixed_dictionaries(
    {
        "project_id": st.none() | name,
        "user_id": name,
        "roles": st.lists(name.map(str.lower)),
        "service_roles": st.lists(name),
    }
)


def oslo_says(rules: dict[str, str], rule: str, target: Any, creds: Any) -> bool:
    enforcer = oslo.Enforcer(cfg.ConfigOpts(), rules=oslo.Rules.from_dict(rules), use_conf=False)
    return bool(enforcer.enforce(rule, target, creds))


@settings(deadline=None)  # an Enforcer of oslo.policy takes its time
@given(text=texts, base=st.sampled_from(["", "!", "role:reader"]), target=targets, creds=credentials)
def test_any_rule_is_decided_as_by_oslo_policy(text: str, base: str, target: Any, creds: Any) -> None:
    rules = {"base": base, "r": text}
    assert compile_rules(rules)["r"](target, creds) is oslo_says(rules, "r", target, creds)


@settings(deadline=None)
@given(
    rule=st.sampled_from(sorted(RULES)),
    target=targets,
    creds=credentials,
    roles=st.lists(st.sampled_from(["admin", "member", "reader", "service"])),
)
def test_each_default_is_decided_as_by_oslo_policy(rule: str, target: Any, creds: Any, roles: list[str]) -> None:
    target = target | {"owner": target["project_id"], "member_id": target["name"]}
    creds = creds | {"roles": roles}
    assert DEFAULTS[rule](target, creds) is oslo_says(dict(RULES), rule, target, creds)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("role:admin and", "is no check string"),
        ("admin", "is no check string"),
        ("(role:a", "is no check string"),
        ("role:a or admin", "is no check string"),
        ("a b:c", "is no check string"),
        ("rule:nobody", "there is no rule 'nobody'"),
        ("role:a or not rule:nobody", "there is no rule 'nobody'"),
        ("rule:r", "refers to itself: r -> r"),
        ("http://example.org/check", "of the kind 'http' are not supported"),
        ("https://example.org/check", "of the kind 'https' are not supported"),
        ("project_id:%(owner", "cannot be filled in"),
        ("project_id:%(owner)d", "cannot be filled in"),
        ("a-:x", "is neither a literal nor a name"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_named_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(RulesBroken) as caught:
        compile_rules({"good": "role:a", "r": text})
    (problem,) = caught.value.problems
    assert problem.startswith("r: ")
    assert complaint in problem


def test_a_circle_of_rules_is_named() -> None:
    with pytest.raises(RulesBroken) as caught:
        compile_rules({"a": "rule:b", "b": "role:x or not rule:c", "c": "rule:a", "d": "rule:a"})
    assert "a: refers to itself: a -> b -> c -> a" in caught.value.problems
    assert len(caught.value.problems) == 4


def test_a_rule_may_be_written_before_the_one_it_refers_to() -> None:
    assert compile_rules({"a": "rule:b", "b": "@"})["a"]({}, {})
