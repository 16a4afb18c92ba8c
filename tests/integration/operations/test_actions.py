"""Actions of people: they say what they would do, do it on what was seen, once, with a reason, and on record."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import translation

import sagas
from sagas import State, store
from sagas.errors import InvalidArgument, NotApplicable, RunNotFound, Stale
from sagas.models import Log, Run
from sagas.operations import actions
from tests.integration.admin.conftest import accept, carried, carry, carry_once, escalated, held
from tests.lab.sagas import Experiment, Unconfirmed
from tests.support import runs

pytestmark = pytest.mark.django_db


def plan_of(action: actions.Action, run_id: UUID) -> actions.Plan:
    """What it would do."""
    (found,) = actions.preview(action, [run_id])
    assert found.plan is not None, found.why_not
    return found.plan


def refusal_of(action: actions.Action, run_id: UUID) -> str:
    (found,) = actions.preview(action, [run_id])
    return found.why_not


def audit(run_id: UUID) -> dict[str, Any]:
    """The audit entry."""
    data = runs.event(run_id, "action").data
    assert isinstance(data, dict)
    return data


def backing_off() -> UUID:
    """A run whose step two has failed once, and waits for its second attempt."""
    run_id = accept("ORD-1", Experiment(faults={"two.forward": 1}))
    carry_once(run_id)
    assert Run.objects.get(pk=run_id).attempt == 1
    return run_id


# What is planned is what is done ----------------------------------------------------------------------------------


def test_a_cancellation_says_which_steps_it_undoes_and_undoes_exactly_these() -> None:
    run_id = held("ORD-1")
    planned = plan_of(actions.Cancel(), run_id)
    assert planned.text == (
        "Undoes 4 steps: four (mark), three (cancel), two (mark all), one (mark). The run ends FAILED."
    )
    assert runs.state(run_id) is State.AWAITING_CONFIRM
    actions.carry_out(actions.Cancel(), run_id, by="ada", reason="the customer called")
    carry(run_id)
    assert runs.state(run_id) is State.FAILED
    undone = [line for line in runs.effects(run_id) if line.endswith((".compensate", ".cancel"))]
    assert undone == [f"{effect.step}.{effect.operation}" for effect in planned.effects]
    assert planned.ends == State.FAILED


def test_a_cancellation_of_a_new_run_has_nothing_to_undo() -> None:
    assert plan_of(actions.Cancel(), accept("ORD-1")).text == "No step has anything to undo. The run ends FAILED."


def test_a_confirmation_by_hand_says_what_follows_and_does_it() -> None:
    run_id = held("ORD-1")
    planned = plan_of(actions.Confirm(), run_id)
    assert planned.text == (
        "Takes the confirmation approval. Then performs 2 operations: one (confirm), three (confirm). "
        "The run ends SUCCEEDED, and can no longer be undone."
    )
    actions.carry_out(actions.Confirm(), run_id, by="ada", reason="the bank says so")
    carry(run_id)
    assert runs.state(run_id) is State.SUCCEEDED
    assert runs.effects(run_id)[-2:] == ["one.confirm", "three.confirm"]


def test_a_run_in_the_middle_is_confirmed_and_goes_on() -> None:
    run_id = backing_off()
    planned = plan_of(actions.Confirm(), run_id)
    assert "First goes on with 3 steps: two (forward), three (try), four (forward)." in planned.words


def test_a_resumed_run_goes_on_as_was_said() -> None:
    run_id = escalated("ORD-1")
    planned = plan_of(actions.Resume(), run_id)
    assert planned.text == ("It goes on in COMPENSATING. It performs two (mark all), one (mark). The run ends FAILED.")
    actions.carry_out(actions.Resume(), run_id, by="ada", reason="mended")
    assert runs.state(run_id) is State.COMPENSATING


def test_a_run_is_ended_by_hand_with_what_is_still_given_back() -> None:
    run_id = escalated("ORD-1")
    assert plan_of(actions.Resolve(State.SUCCEEDED.value), run_id).ends == State.SUCCEEDED
    assert "undoes no step any more" in plan_of(actions.Resolve(), run_id).text
    actions.carry_out(actions.Resolve(), run_id, by="ada", reason="undone by hand")
    assert runs.state(run_id) is State.FAILED


def test_a_wait_for_the_next_attempt_is_ended() -> None:
    run_id = backing_off()
    assert "Tries two (forward) again now, after 1 failed attempt." in plan_of(actions.Retry(), run_id).words
    Run.objects.filter(pk=run_id).update(due_at="2100-01-01T00:00Z")
    actions.carry_out(actions.Retry(), run_id, by="ada", reason="the ledger is back")
    with connection.cursor() as cursor:
        cursor.execute("SELECT due_at <= clock_timestamp(), attempt FROM sagas_run WHERE id = %s", [run_id])
        assert cursor.fetchone() == (True, 1)
    assert runs.story(run_id)[-2:] == ["retry", "action"]


# To whom it does not apply --------------------------------------------------------------------------------------------


def test_an_action_that_does_not_apply_says_why_and_does_nothing() -> None:
    waiting, stuck = held("ORD-1"), escalated("ORD-2")
    assert refusal_of(actions.Retry(), waiting) == "it does not wait for its next attempt"
    assert refusal_of(actions.Resume(), waiting) == "the run is AWAITING_CONFIRM: it is not escalated"
    assert refusal_of(actions.Confirm("payment"), waiting) == "it does not wait for payment, but for approval"
    assert refusal_of(actions.Cancel(), stuck) == "the run is ESCALATED: it cannot be cancelled any more"
    before = Log.objects.count()
    with pytest.raises(NotApplicable):
        actions.carry_out(actions.Retry(), waiting, by="ada", reason="why not")
    assert Log.objects.count() == before
    with pytest.raises(RunNotFound):
        actions.carry_out(actions.Cancel(), uuid4(), by="ada", reason="why not")


def test_the_actions_that_apply_to_a_run_are_known() -> None:
    every = [actions.Retry(), actions.Confirm(), actions.Cancel(), actions.Resume()]
    assert actions.applying(every, held("ORD-1")) == [actions.Confirm(), actions.Cancel()]
    assert actions.applying(every, uuid4()) == []


def test_what_has_moved_on_since_it_was_seen_is_left_as_it_is() -> None:
    # Given a person who looks at a run, and a customer who is quicker
    run_id = held("ORD-1")
    (seen,) = actions.preview(actions.Cancel(), [run_id])
    sagas.confirm(run_id, "approval")
    # When
    with pytest.raises(Stale, match="Nothing was done"):
        actions.carry_out(actions.Cancel(), run_id, by="ada", reason="too late", seen=seen.seen)
    # Then
    assert runs.state(run_id) is State.CONFIRMING
    assert "action" not in runs.story(run_id)


def test_a_failed_attempt_is_a_change_though_the_state_is_the_same() -> None:
    run_id = backing_off()
    (seen,) = actions.preview(actions.Cancel(), [run_id])
    carry_once(run_id)
    with pytest.raises(Stale):
        actions.carry_out(actions.Cancel(), run_id, by="ada", reason="too late", seen=seen.seen)


@pytest.mark.parametrize(("by", "reason"), [("", "why"), (" ", "why"), ("ada", ""), ("ada", " ")])
def test_nobody_acts_without_a_name_and_a_reason(by: str, reason: str) -> None:
    run_id = held("ORD-1")
    with pytest.raises(InvalidArgument, match="say who does it, and why"):
        actions.carry_out(actions.Cancel(), run_id, by=by, reason=reason)
    assert runs.state(run_id) is State.AWAITING_CONFIRM


# The record -----------------------------------------------------------------------------------------------------------


def test_the_audit_entry_has_who_why_what_was_planned_and_what_was_done() -> None:
    run_id = held("ORD-1")
    (seen,) = actions.preview(actions.Cancel(), [run_id])
    actions.carry_out(actions.Cancel(message="Sorry"), run_id, by="ada", reason="she called", seen=seen.seen)
    assert runs.event(run_id, "action").worker == "ada"
    assert seen.plan is not None
    assert audit(run_id) == {
        "action": "cancel",
        "said": {"message": "Sorry"},
        "reason": "she called",
        "planned": seen.plan.as_json(),
        "done": {"before": "AWAITING_CONFIRM", "after": "COMPENSATING"},
        "seen": seen.seen,
    }


@pytest.mark.parametrize("statement", ["UPDATE sagas_log SET data = '{}'", "DELETE FROM sagas_log"])
def test_nobody_edits_the_audit(statement: str) -> None:
    run_id = held("ORD-1")
    actions.carry_out(actions.Cancel(), run_id, by="ada", reason="she called")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{statement} WHERE operation = 'action'")
    assert audit(run_id)["reason"] == "she called"


def test_an_action_that_the_engine_refuses_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = held("ORD-1")

    def dies(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("sagas.store.moves.log", dies)
    with pytest.raises(RuntimeError):
        actions.carry_out(actions.Cancel(), run_id, by="ada", reason="she called")
    monkeypatch.undo()
    assert runs.state(run_id) is State.AWAITING_CONFIRM
    assert "cancel" not in runs.story(run_id)


def test_plans_of_many_runs_take_as_many_statements_as_that_of_one(django_assert_max_num_queries: Any) -> None:
    ids = [held(f"ORD-{number}") for number in range(5)]
    with django_assert_max_num_queries(6):
        found = actions.preview(actions.Cancel(), ids)
    assert actions.summarize(found) == [
        "It applies to 5 runs.",
        "Operations: four (mark) × 5, three (cancel) × 5, two (mark all) × 5, one (mark) × 5.",
        "5 runs end FAILED.",
    ]


# The shell ------------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("sagas", *arguments, stdout=out)
    return out.getvalue()


def test_a_dry_run_in_a_shell_does_nothing() -> None:
    run_id = held("ORD-1")
    said = command("cancel", str(run_id), "--dry-run")
    assert "Undoes 4 steps" in said
    assert said.endswith("nothing was done\n")
    assert runs.state(run_id) is State.AWAITING_CONFIRM


def test_a_program_reads_what_it_would_do_and_does_it_on_what_it_saw() -> None:
    run_id = held("ORD-1")
    seen = json.loads(command("confirm", "--business-key", "ORD-1", "--dry-run", "--json"))
    assert seen["plan"]["ends"] == "SUCCEEDED"
    done = json.loads(command("confirm", str(run_id), "--reason", "paid in cash", "--seen", seen["seen"], "--json"))
    assert (done["run"], done["state"]) == (str(run_id), "CONFIRMING")
    with pytest.raises(CommandError, match="this page was stale"):
        command("cancel", str(run_id), "--reason", "late", "--seen", seen["seen"])


def test_retry_in_a_shell_also_resumes_escalated_runs() -> None:
    stuck, waiting = escalated("ORD-1"), held("ORD-2")
    with pytest.raises(CommandError, match="ORD-2: it does not wait for its next attempt"):
        command("retry", str(stuck), str(waiting), "--reason", "mended", "--by", "ada")
    assert runs.state(stuck) is State.COMPENSATING
    assert runs.event(stuck, "resume").worker == "ada"


def test_a_run_is_ended_by_hand_in_a_shell() -> None:
    run_id = escalated("ORD-1")
    command("resolve", str(run_id), "--outcome", "FAILED", "--reason", "undone by hand")
    assert runs.state(run_id) is State.FAILED


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("cancel", "ORD-1"), "is no id of a run"),
        (("cancel",), "name runs"),
        (("cancel", "--business-key", "nobody"), "name runs"),
        (("cancel", "01234567-89ab-7def-8123-456789abcdef", "--dry-run"), "there is no such run"),
        (("cancel", "01234567-89ab-7def-8123-456789abcdef"), "say why"),
        (("confirm", "--data", "[]", "--business-key", "x"), "give a JSON object"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        command(*arguments)


def test_the_runs_of_a_business_key_that_have_ended_are_not_taken() -> None:
    ended = carried("ORD-1", Experiment(reject=("two",)))
    run_id = held("ORD-1")
    said = command("cancel", "--business-key", "ORD-1", "--dry-run", "--json")
    assert [json.loads(line)["run"] for line in said.splitlines()] == [str(run_id)]
    assert runs.state(ended) is State.FAILED


def test_a_plan_is_said_in_the_language_of_who_asks_and_recorded_in_one() -> None:
    run_id = held("ORD-1")
    with translation.override("zh-hans"):
        done = actions.carry_out(actions.Cancel(), run_id, by="ada", reason="she called")
    assert done.plan.words[-1] == "运行将以 已失败 结束。"
    assert audit(run_id)["planned"]["words"][-1] == "The run ends FAILED."


# Run again ------------------------------------------------------------------------------------------------------------


def undone(key: str = "ORD-1") -> UUID:
    run_id = carried(key, Experiment(reject=("two",)))
    assert runs.state(run_id) is State.FAILED
    return run_id


def rerun(run_id: UUID) -> UUID:
    actions.carry_out(actions.Rerun(), run_id, by="ada", reason="the jars are back")
    return actions.reruns_of(run_id)[-1]


def test_a_failed_run_is_run_again_as_a_new_one_and_each_names_the_other() -> None:
    run_id = undone()
    assert plan_of(actions.Rerun(), run_id).text == (
        "Starts a new run with the same request: one (forward), two (forward), three (try), four (forward). "
        "This run stays FAILED, and names the new one."
    )
    again = rerun(run_id)
    old, new = Run.objects.get(pk=run_id), Run.objects.get(pk=again)
    assert (new.request, new.business_key, new.state) == (old.request, "ORD-1", State.PENDING)
    assert runs.event(run_id, "rerun").data == {"run": str(again)}
    assert runs.event(again, "rerun_of").data == {"run": str(run_id)}
    assert runs.event(again, "rerun_of").worker == "ada"
    # And it does as the first one did
    carry(again)
    assert runs.effects(again) == runs.effects(run_id)


def test_a_run_is_run_again_once_until_that_one_is_undone_too() -> None:
    run_id = undone()
    again = rerun(run_id)
    assert refusal_of(actions.Rerun(), run_id) == f"it was run again as {again}"
    carry(again)
    assert rerun(run_id) != again


def test_a_run_of_the_same_key_that_is_not_undone_is_in_the_way() -> None:
    run_id, other = undone(), held("ORD-1")
    with pytest.raises(sagas.errors.RunExists):
        rerun(run_id)
    assert runs.state(other) is State.AWAITING_CONFIRM
    assert actions.reruns_of(run_id) == []


def test_what_may_not_be_run_again_is_said() -> None:
    assert "only one that is undone" in refusal_of(actions.Rerun(), held("ORD-1"))
    plain = sagas.start(Unconfirmed, Experiment(reject=("two",)))
    Run.objects.filter(pk=plain).update(state="EXECUTING")
    sagas.cancel(plain)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_run SET state = 'FAILED', due_at = NULL, finished_at = now(), cursor = 0 WHERE id = %s",
            [plain],
        )
    assert "(rerunnable)" in refusal_of(actions.Rerun(), plain)


def test_a_run_whose_data_was_erased_is_not_run_again() -> None:
    run_id = undone()
    store.moves.log(store.moves.event_entry("erase", by="ada"), store.runs.read([run_id]))
    assert refusal_of(actions.Rerun(), run_id) == "its personal data was erased"


def test_a_run_is_run_again_from_a_shell() -> None:
    run_id = undone()
    said = command("rerun", str(run_id), "--reason", "the jars are back")
    assert f"the new run is {actions.reruns_of(run_id)[-1]}" in said
