"""The defaults against what a real Glance registers (`policy_defaults.json`, from glance.policies.list_rules)."""

import json
from itertools import product
from pathlib import Path

from oslo_config import cfg
from oslo_policy import policy as oslo

from proxy.policy import Policy
from proxy.policy.rules import BASE, OLD_DEFAULTS, OPERATIONS, RULES
from upstream.types import Context

ROLES = ("", "admin", "member", "reader", "service")
GLANCE = json.loads(Path(__file__).with_name("policy_defaults.json").read_text())


def test_every_rule_of_glance_is_there_with_its_very_check_string() -> None:
    assert dict(RULES) == {name: rule["check_str"] for name, rule in GLANCE.items()}
    assert len(RULES) == 67


def test_rules_of_operations_are_for_project_tokens_and_base_rules_for_all() -> None:
    assert set(OPERATIONS) == {name for name, rule in GLANCE.items() if rule["scope_types"] == ["project"]}
    assert set(BASE) == {name for name, rule in GLANCE.items() if rule["scope_types"] is None}


def test_old_defaults_are_those_of_glance_where_they_say_more_than_the_new_ones() -> None:
    old = {name: rule["deprecated_check_str"] for name, rule in GLANCE.items() if "deprecated_check_str" in rule}
    assert old.pop("default") == "rule:context_is_admin"
    assert RULES["default"] == "", "everybody"
    assert dict(OLD_DEFAULTS) == {name: text for name, text in old.items() if text != RULES[name]}


def test_old_defaults_are_decided_as_by_oslo_policy() -> None:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    enforcer = oslo.Enforcer(conf, use_conf=True)
    conf.set_override("enforce_new_defaults", False, group="oslo_policy")
    enforcer.suppress_deprecation_warnings = True
    for name, rule in GLANCE.items():
        old = rule.get("deprecated_check_str")
        deprecated = old and oslo.DeprecatedRule(name, old, deprecated_reason="roles", deprecated_since="W")
        enforcer.register_default(
            oslo.RuleDefault(name, rule["check_str"], scope_types=rule["scope_types"], deprecated_rule=deprecated)
        )
    policy = Policy(enforce_new_defaults=False)
    target = {"project_id": "p1", "owner": "p1", "visibility": "private", "member_id": "p2"}
    for name, role, project, scope in product(GLANCE, ROLES, ("p1", "p2", None), (None, "d1")):
        roles = frozenset({role} - {""})
        context = Context(user_id="u", project_id=project, domain_id=scope, roles=roles)
        credentials = {"user_id": "u", "project_id": project, "domain_id": scope, "roles": sorted(roles)}
        expected = bool(enforcer.enforce(name, target, credentials))
        assert policy.allows(name, context, target) is expected, (name, role, project, scope)
