"""A wrong definition fails when its class is made."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import new_class
from typing import Any, cast

import pytest

from sagas import Call, Confirmation, Parallel, Retry, Saga, Step, Tcc, set_based
from sagas.definition import registry
from sagas.definition.evolution import definition_for_shape
from sagas.definition.participants import Operation, Phase
from sagas.errors import DeadlineUnknown, DefinitionError, UnknownSaga, UnknownStep
from sagas.remote import HttpParticipant


@dataclass(frozen=True)
class Request:
    name: str
    amount: int = 1


def nothing(call: Call[Any]) -> None:
    """A participant that is never called."""


class Resource:
    def try_(self, call: Call[Any]) -> None: ...
    def confirm(self, call: Call[Any]) -> None: ...
    def cancel(self, call: Call[Any]) -> None: ...


def step(**kwargs: Any) -> Step:
    return Step(nothing, queue="orders", **kwargs)


def make(name: str, body: dict[str, Any]) -> type:
    return new_class(name, (Saga[Request],), exec_body=lambda namespace: namespace.update(body, __module__=__name__))


def test_reading_order_is_execution_order_and_attributes_are_names() -> None:
    class Trip(Saga[Request]):
        payment = Confirmation(within=timedelta(seconds=5))
        hotel = step()
        car = Tcc(Resource(), queue="inventory")

    definition = Trip.definition
    assert definition.name == "tests.Trip"
    assert definition.version == 1
    assert [s.name for s in definition.steps] == ["hotel", "car"]
    assert [c.name for c in definition.confirmations] == ["payment"]
    assert definition.action(1, Phase.FORWARD).operation is Operation.TRY
    assert definition.action(1, Phase.UNDO).operation is Operation.CANCEL
    assert registry.find_registered("tests.Trip", 1) is definition


def test_branches_are_steps_that_are_performed_at_the_same_time() -> None:
    class Fork(Saga[Request]):
        first = step()
        booked = Parallel(hotel=step(), car=Tcc(Resource(), queue="inventory"))
        last = step()

    definition = Fork.definition
    assert [s.name for s in definition.steps] == ["first", "hotel", "car", "last"]
    assert [list(definition.stages[index]) for index in range(4)] == [[0], [1, 2], [1, 2], [3]]


def test_a_fork_needs_two_branches_that_are_steps() -> None:
    with pytest.raises(DefinitionError, match="at least two branches"):
        Parallel(hotel=step())
    wrong: Any = nothing
    with pytest.raises(DefinitionError, match="is no step"):
        Parallel(hotel=step(), car=wrong)


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"Same\.hotel: two steps or confirmations have this name"):

        class Same(Saga[Request]):
            hotel = step()
            booked = Parallel(car=step(), hotel=step())


def test_a_step_after_a_confirmation_only_goes_forward() -> None:
    class Shipped(Saga[Request]):
        held = Tcc(Resource(), queue="inventory")
        payment = Confirmation(within=timedelta(seconds=5))
        ship = step()

    definition = Shipped.definition
    assert definition.pivot == 1
    # It is tried as long as what cannot be given up without a person
    assert definition.action(1, Phase.FORWARD).retry == definition.action(0, Phase.CONFIRM).retry


@pytest.mark.parametrize("given", [{"compensate": nothing}, {"confirm": nothing}])
def test_steps_after_the_pivot_have_no_undo_and_no_timeout(given: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="ship stands behind the pivot"):

        class Shipped(Saga[Request]):
            held = step()
            payment = Confirmation(within=timedelta(seconds=5))
            ship = Step(nothing, queue="orders", **given)


def test_a_saga_without_a_confirmation_may_mark_its_pivot() -> None:
    class Charged(Saga[Request]):
        held = Tcc(Resource(), queue="inventory")
        charge = Step(nothing, queue="orders", pivot=True)
        ship = step()

    assert Charged.definition.pivot == 2


def test_a_saga_has_at_most_one_pivot() -> None:
    with pytest.raises(DefinitionError, match="a saga has one pivot"):

        class Confirmed(Saga[Request]):
            charge = Step(nothing, queue="orders", pivot=True)
            payment = Confirmation(within=timedelta(seconds=5))

    with pytest.raises(DefinitionError, match="a saga has one pivot"):

        class Marked(Saga[Request]):
            charge = Step(nothing, queue="orders", pivot=True)
            charge_again = Step(nothing, queue="orders", pivot=True)

    with pytest.raises(DefinitionError, match="a branch of a Parallel cannot be the pivot"):

        class Forked(Saga[Request]):
            both = Parallel(charge=Step(nothing, queue="orders", pivot=True), book=step())

    with pytest.raises(DefinitionError, match="it cannot have compensate="):
        Step(nothing, compensate=nothing, queue="orders", pivot=True)


def test_a_pivot_cannot_be_remote() -> None:
    there = HttpParticipant("payments", "https://pay.example").post("/charges")
    with pytest.raises(DefinitionError, match=r"payments: POST /charges is in another system.*Give it a compensation"):
        Step(there, queue="orders", pivot=True)

    # With a way back, or behind a confirmation, it may be
    class RefundedThere(Saga[Request]):
        charge = Step(there, compensate=nothing, queue="orders")

    class PaidThere(Saga[Request]):
        held = Tcc(Resource(), queue="inventory")
        payment = Confirmation(within=timedelta(seconds=5))
        book = Step(there, queue="orders")

    assert PaidThere.definition.pivot == 1


def test_a_saga_has_at_most_one_decision_for_many_runs() -> None:
    with pytest.raises(DefinitionError, match=r"Grouped.approved: a saga has at most one"):

        class Grouped(Saga[Request]):
            formed = Confirmation(decided_by=lambda _: "a")
            approved = Confirmation(decided_by=lambda _: "b")
            one = step()


@pytest.mark.parametrize("seconds", [0, -1])
def test_timeouts_must_be_positive(seconds: int) -> None:
    with pytest.raises(DefinitionError, match="give a positive time"):
        Step(nothing, queue="orders", timeout=timedelta(seconds=seconds))
    with pytest.raises(DefinitionError, match="give a positive time"):

        class Hurried(Saga[Request]):
            timeout = timedelta(seconds=seconds)
            one = step()


def test_a_confirmation_has_one_deadline_and_a_queue_for_its_compensation() -> None:
    with pytest.raises(DefinitionError, match="give within=, a time after the start, or until="):
        Confirmation()
    with pytest.raises(DefinitionError, match="give within=, a time after the start, or until="):
        Confirmation(within=timedelta(seconds=5), until=lambda request: request.closes_at)
    with pytest.raises(DefinitionError, match="or decided_by="):
        Confirmation(within=timedelta(seconds=5), decided_by=lambda request: request.group)
    with pytest.raises(DefinitionError, match="give a function of the request"):
        Confirmation(decided_by="group")  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="nothing in it is personal"):
        Confirmation(decided_by=lambda request: request.group, personal=("name",))
    with pytest.raises(DefinitionError, match="nothing to give back, not both"):
        Confirmation(within=timedelta(seconds=5), compensate=nothing, queue="orders", needs_compensation=False)
    with pytest.raises(DefinitionError, match="compensate= and queue= belong together"):
        Confirmation(within=timedelta(seconds=5), compensate=nothing)


@pytest.mark.parametrize("said", [datetime(2030, 1, 1), "noon", None])  # noqa: DTZ001 - that is refused
def test_a_deadline_that_is_computed_has_a_time_zone(said: object) -> None:
    confirmation = Confirmation(until=lambda _: said)  # type: ignore[arg-type,return-value]  # what applications do
    with pytest.raises(DeadlineUnknown, match="a deadline is a datetime with a time zone"):
        confirmation.compute_deadline(None)


@pytest.mark.parametrize("hours", [-23, 0, 23])
def test_a_deadline_beyond_the_range_of_the_database_is_limited_to_it(hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    ends = datetime.min.replace(tzinfo=zone), datetime.max.replace(tzinfo=zone)
    found = [Confirmation(until=lambda end: end).compute_deadline(end) for end in ends]
    assert [moment.year for moment in found] == [1970, 9999]
    assert found[1] + timedelta(days=1) > found[1]


def test_a_saga_has_at_most_as_many_steps_as_a_run_has_bits() -> None:
    body: dict[str, Any] = {f"s{number}": step() for number in range(62)}
    make("Long", {**body, "paid": _paid()})
    with pytest.raises(DefinitionError, match=r"TooLong has 64 steps .* at most 63"):
        make("TooLong", {"one": step(), **{f"s{number}": step() for number in range(62)}, "paid": _paid()})


def _paid() -> Confirmation:
    return Confirmation(within=timedelta(seconds=5), compensate=nothing, queue="orders")


def test_a_saga_needs_a_step() -> None:
    with pytest.raises(DefinitionError, match="Empty has no steps"):

        class Empty(Saga[Request]):
            payment = Confirmation(within=timedelta(seconds=5))


def test_a_saga_needs_the_type_of_its_request() -> None:
    with pytest.raises(DefinitionError, match=r"Saga\[MyRequest\]"):

        class Untyped(Saga):  # type: ignore[type-arg]
            one = step()


@pytest.mark.parametrize("wrong", [5, "nothing", object()])
@pytest.mark.parametrize("role", ["do", "confirm", "compensate"])
def test_a_participant_must_be_callable(wrong: Any, role: str) -> None:
    given: dict[str, Any] = {"do": nothing, role: wrong}
    with pytest.raises(DefinitionError, match="is no participant; give a function"):
        Step(queue="orders", **given)


def test_a_set_based_participant_is_accepted() -> None:
    Step(set_based(cast(Any, list)), queue="orders")


def test_a_step_belongs_to_one_attribute() -> None:
    with pytest.raises((DefinitionError, RuntimeError)) as raised:

        class Doubled(Saga[Request]):
            one = two = step()

    # Python 3.11 wraps what __set_name__ raises.
    error = raised.value if isinstance(raised.value, DefinitionError) else raised.value.__cause__
    assert isinstance(error, DefinitionError)
    assert "already declared as 'one'" in str(error)


def test_a_confirmation_belongs_to_one_attribute_of_one_saga() -> None:
    shared = Confirmation(within=timedelta(seconds=5))

    class First(Saga[Request]):
        one = step()
        payment = shared

    with pytest.raises((DefinitionError, RuntimeError)):

        class Second(Saga[Request]):
            one = step()
            approval = shared

    assert First.definition.confirmations[0].name == "payment"


@pytest.mark.parametrize("within", [timedelta(0), timedelta(seconds=-1), timedelta(microseconds=999)])
def test_a_deadline_must_lie_in_the_future(within: timedelta) -> None:
    with pytest.raises(DefinitionError, match="give at least a millisecond"):
        Confirmation(within=within)


def test_a_steps_name_must_fit_its_column() -> None:
    with pytest.raises(DefinitionError, match="at most 48 characters"):
        make("Long", {"s" * 49: step()})


def test_a_confirmations_name_must_fit_its_column() -> None:
    with pytest.raises(DefinitionError, match="at most 48 characters"):
        make("Long", {"one": step(), "c" * 49: Confirmation(within=timedelta(seconds=1))})


def test_a_sagas_name_must_fit_its_column() -> None:
    with pytest.raises(DefinitionError, match="at most 100 characters"):

        class Long(Saga[Request]):
            name = "n" * 101
            one = step()


@pytest.mark.parametrize("version", [0, -1, "2", 40_000])
def test_a_version_must_be_a_small_positive_number(version: Any) -> None:
    with pytest.raises(DefinitionError, match="version"):
        make("Odd", {"one": step(), "version": version})


def test_a_subclass_inherits_steps() -> None:
    class Base(Saga[Request], abstract=True):
        one = step()

    class Inheriting(Base):
        two = step()

    assert [s.name for s in Inheriting.definition.steps] == ["one", "two"]


def test_two_versions_of_a_saga_can_be_declared() -> None:
    class First(Saga[Request]):
        name = "tests.Growing"
        one = step()

    class Second(Saga[Request]):
        name = "tests.Growing"
        version = 2
        one = step()
        two = step()

    assert registry.find_registered("tests.Growing", 1) is First.definition
    assert registry.find_registered("tests.Growing", 2) is Second.definition
    with pytest.raises(UnknownSaga, match="version 3"):
        registry.find_registered("tests.Growing", 3)


def test_a_run_of_another_shape_uses_the_present_retry_policy() -> None:
    # Given a saga, and the same with another policy
    class Hopeful(Saga[Request]):
        name = "tests.Tried"
        charge = step()

    class Hopeless(Saga[Request]):
        name = "tests.Tried"
        version = 2
        charge = step(retry=Retry(attempts=7, never=(ValueError,)))
        more = step()

    # Then runs of the one go on by the policy of the other
    assert Hopeful.definition.shape.steps[0] == Hopeless.definition.shape.steps[0]
    followed = definition_for_shape("tests.Tried", 2, Hopeful.definition.shape, Hopeless.definition)
    assert followed.action(0, Phase.FORWARD).retry == Retry(attempts=7, never=(ValueError,))


def test_two_classes_need_two_names_or_versions() -> None:
    # Given
    class First(Saga[Request]):
        name = "tests.Changed"
        one = step()

    # When, then another of the same name is refused, although its steps are the same
    twice = r"tests\.Changed version 1 is declared twice: by tests\.\S+\.First and by tests\.\S+\.Second"
    with pytest.raises(DefinitionError, match=twice):

        class Second(Saga[Request]):
            name = "tests.Changed"
            one = step()

    assert registry.find_registered("tests.Changed", 1) is First.definition


@pytest.mark.parametrize("more", [{"two": step()}, {"payment": Confirmation(within=timedelta(seconds=5))}], ids=list)
def test_a_class_that_is_declared_with_other_parts_needs_another_version(more: dict[str, Any]) -> None:
    # Given
    first = make("Changed", {"one": step()})
    # When, then
    with pytest.raises(DefinitionError, match=r"tests\.Changed version 1 is declared twice, with other steps or conf"):
        make("Changed", {"one": step(), **more})
    assert registry.find_registered("tests.Changed", 1) is vars(first)["definition"]


def test_a_module_may_be_imported_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a module that was imported
    (tmp_path / "teas.py").write_text(
        "from sagas import Saga, Step\n\nclass Brew(Saga[dict]):\n    pour = Step(print, queue='orders')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    teas = importlib.import_module("teas")
    before = registry.find_registered("teas.Brew", 1)
    # When
    importlib.reload(teas)
    # Then its saga is the one of the last import
    assert registry.find_registered("teas.Brew", 1) is teas.Brew.definition is not before
    del sys.modules["teas"]


def test_an_abstract_saga_has_no_definition() -> None:
    class Base(Saga[Request], abstract=True):
        """Nothing yet."""

    assert not hasattr(Base, "definition")


def test_a_saga_has_no_instances() -> None:
    class Plain(Saga[Request]):
        one = step()

    with pytest.raises(TypeError, match=r"Plain.start\(request\)"):
        Plain()


def test_unknown_steps_and_operations_are_refused() -> None:
    class Bare(Saga[Request]):
        one = step()

    with pytest.raises(UnknownStep, match=r"tests\.Bare has no step 'two'; it has one$"):
        Bare.definition.index("two")
    with pytest.raises(UnknownStep, match="nothing to undo"):
        Bare.definition.action(0, Phase.UNDO)
