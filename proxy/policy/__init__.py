"""Who may do what: Glance's rules of policy, and the protections of single properties."""

from proxy.policy.policy import Policy, PolicyFileBroken, image_target
from proxy.policy.property_protections import (
    Action,
    PropertyProtections,
    ProtectionFileBroken,
    RuleFormat,
    load_protections,
)

__all__ = [
    "Action",
    "Policy",
    "PolicyFileBroken",
    "PropertyProtections",
    "ProtectionFileBroken",
    "RuleFormat",
    "image_target",
    "load_protections",
]
