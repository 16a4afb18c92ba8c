"""Which tests answer for which module: those that are its own first, so that most mutants end soon."""

from __future__ import annotations

_UNIT, _HERE = "tests/unit", "tests/integration"

TARGETS: dict[str, tuple[str, ...]] = {
    # decisions: pure
    "sagas/decisions/plan.py": (f"{_UNIT}/test_plan.py", f"{_UNIT}/test_choreography.py", f"{_HERE}/test_forks.py"),
    "sagas/decisions/choreography.py": (f"{_UNIT}/test_choreography.py", f"{_UNIT}/test_events.py"),
    "sagas/definition/retry.py": (f"{_UNIT}/test_retry.py",),
    "sagas/decisions/breaker_policy.py": (f"{_UNIT}/test_breaker.py", f"{_HERE}/test_breaker.py"),
    "sagas/definition/shapes.py": (
        f"{_UNIT}/test_shapes.py",
        f"{_UNIT}/test_definition.py",
        f"{_HERE}/test_versions.py",
    ),
    "sagas/db.py": (f"{_UNIT}/test_faults.py", f"{_HERE}/test_server_trouble.py"),
    # stores
    "sagas/store/moves.py": (
        f"{_HERE}/test_waits.py",
        f"{_HERE}/test_lifecycle.py",
        f"{_HERE}/test_perform.py",
        f"{_HERE}/test_retries.py",
    ),
    "sagas/store/waits.py": (
        f"{_HERE}/test_waits.py",
        f"{_HERE}/test_forks.py",
        f"{_HERE}/test_remote.py",
        f"{_HERE}/test_reports.py",
    ),
    "sagas/store/claims.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_stuck.py", f"{_HERE}/test_locks.py"),
    "sagas/store/log.py": (f"{_HERE}/test_remote.py", f"{_HERE}/test_reports.py", f"{_HERE}/test_late_reports.py"),
    "sagas/store/confirmations.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_given_back.py"),
    # engine
    "sagas/engine/deadlines.py": (f"{_HERE}/test_deadlines.py", f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_blame.py"),
    "sagas/engine/timeouts.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_retries.py", f"{_HERE}/test_perform.py"),
    "sagas/engine/compensation.py": (
        f"{_HERE}/test_lifecycle.py",
        f"{_HERE}/test_given_back.py",
        f"{_HERE}/test_escalation.py",
    ),
    "sagas/engine/remote_calls.py": (
        f"{_HERE}/test_remote_attempts.py",
        f"{_HERE}/test_remote_late.py",
        f"{_HERE}/test_remote.py",
    ),
    "sagas/engine/late.py": (
        f"{_HERE}/test_remote_attempts.py",
        f"{_HERE}/test_remote_late.py",
        f"{_HERE}/test_late_reports.py",
    ),
    "sagas/engine/reports.py": (f"{_HERE}/test_reports.py", f"{_HERE}/test_late_reports.py", f"{_HERE}/test_nested.py"),
    "sagas/engine/claiming.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_neighbours.py", f"{_HERE}/test_blame.py"),
    "sagas/engine/performing.py": (
        f"{_HERE}/test_perform.py",
        f"{_HERE}/test_neighbours.py",
        f"{_HERE}/test_lock_waits.py",
    ),
    "sagas/engine/results.py": (
        f"{_HERE}/test_remote_attempts.py",
        f"{_HERE}/test_perform.py",
        f"{_HERE}/test_retries.py",
        f"{_HERE}/test_forks.py",
    ),
    "sagas/engine/lifecycle.py": (
        f"{_HERE}/test_lifecycle.py",
        f"{_HERE}/test_given_back.py",
        f"{_HERE}/test_resume.py",
    ),
    "sagas/engine/locks.py": (f"{_HERE}/test_locks.py", f"{_HERE}/test_lines.py"),
    "sagas/engine/breakers.py": (f"{_HERE}/test_breaker.py",),
    "sagas/engine/subsagas.py": (f"{_HERE}/test_nested.py", f"{_HERE}/test_nested_by_hand.py"),
}
