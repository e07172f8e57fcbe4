"""The conformance kit: does a plugin keep the promises that the harness relies on?

In a plugin's own tests::

    from harness.testing import assert_conforms

    def test_plugin_keeps_the_contract():
        assert_conforms("letters")

``harness plugin check letters`` runs the same checks from the command line.

The modules: ``results`` (what a check says), ``models``, ``tasks`` and ``discovery`` (the checks,
each a small function that raises :class:`CheckFailed`), ``oracle`` (answers to grade), ``kit``
(the entry points).
"""

from __future__ import annotations

from harness.testing.kit import assert_conforms, check_model, check_plugin, check_task
from harness.testing.oracle import oracle_responses
from harness.testing.results import CheckFailed, CheckResult, CheckSkipped

__all__ = [
    "CheckFailed",
    "CheckResult",
    "CheckSkipped",
    "assert_conforms",
    "check_model",
    "check_plugin",
    "check_task",
    "oracle_responses",
]
