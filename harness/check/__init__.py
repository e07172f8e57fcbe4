"""The gate for CI: a run against a stored baseline under a policy."""

from __future__ import annotations

from harness.check.baseline import Baseline, read_baseline, save_text, write_baseline
from harness.check.gate import Gate, check
from harness.check.policy import Policy, Rule, ScalingRule, read_policy
from harness.check.verdicts import Judgement, Reason, Verdict

__all__ = [
    "Baseline",
    "Gate",
    "Judgement",
    "Policy",
    "Reason",
    "Rule",
    "ScalingRule",
    "Verdict",
    "check",
    "read_baseline",
    "read_policy",
    "save_text",
    "write_baseline",
]
