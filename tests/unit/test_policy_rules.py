"""The defaults against what a real Glance registers (`policy_defaults.json`, from glance.policies.list_rules)."""

import json
from pathlib import Path

from proxy.policy_rules import BASE, OPERATIONS, RULES

GLANCE = json.loads(Path(__file__).with_name("policy_defaults.json").read_text())


def test_every_rule_of_glance_is_there_with_its_very_check_string() -> None:
    assert dict(RULES) == {name: rule["check_str"] for name, rule in GLANCE.items()}
    assert len(RULES) == 67


def test_rules_of_operations_are_for_project_tokens_and_base_rules_for_all() -> None:
    assert set(OPERATIONS) == {name for name, rule in GLANCE.items() if rule["scope_types"] == ["project"]}
    assert set(BASE) == {name for name, rule in GLANCE.items() if rule["scope_types"] is None}
