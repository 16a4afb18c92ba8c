"""The drawings of ARCHITECTURE.md show what the code does.

GitHub draws them (Mermaid). Nothing here can draw, so each line must have one of the few forms that are used.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from celery import Task
from django.conf import settings

from orders.sagas import PlaceOrder
from sagas import tasks
from sagas.conf import Config
from sagas.decisions import plan
from sagas.decisions.plan import Place
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.engine import claiming, locks
from sagas.messaging import topology
from sagas.states import LIVE, TRANSITIONS, State
from tests.docs.papers import ROOT, blocks, table

PAGE = "ARCHITECTURE.md"
DRAWINGS = [block.text for block in blocks(PAGE, "mermaid")]
STATES = [text for text in DRAWINGS if text.startswith("stateDiagram-v2\n")]
SEQUENCES = [text for text in DRAWINGS if text.startswith("sequenceDiagram\n")]
FORWARD, BACK, RACE = SEQUENCES
FLOWCHARTS = [text for text in DRAWINGS if text.startswith("flowchart ")]

_EDGE = re.compile(r"(?P<before>[A-Z_]+|\[\*\]) --> (?P<after>[A-Z_]+): (?P<label>[a-z, ]+)")
_ARROW = re.compile(r"(?P<sender>[A-Z])(?:->>|-->>|-\))(?P<receiver>[A-Z]): (?P<label>.+)")
_NOTE = re.compile(r"Note (?:right of|over) (?P<beside>[A-Z]): (?P<label>.+)")
_PARTICIPANT = re.compile(r"(?:actor|participant) (?P<name>[A-Z]) as .+")
_FRAME = re.compile(r"autonumber|par|and|end|(?:box|loop|alt|else) .+")
_NODE = r"\w+(?:\[\(?\"[^\"]+\"\)?\])?"
_FLOW = re.compile(rf"{_NODE} (?:-- (?:\w+|\"[^\"]+\"|[\w ]+) )?--> {_NODE}")


def lines(drawing: str) -> list[str]:
    """Its lines below the first, which says what kind it is."""
    return [line.strip() for line in drawing.splitlines()[1:]]


def edges() -> Iterator[tuple[str, str]]:
    """Every change of state that is drawn."""
    for drawing in STATES:
        for line in lines(drawing):
            if line not in {"direction LR", 'state "any live state" as LIVE'}:
                found = _EDGE.fullmatch(line)
                assert found is not None, line
                yield found["before"], found["after"]


def members(drawn: str) -> frozenset[State]:
    """The states that a name in the drawing stands for."""
    return LIVE if drawn == "LIVE" else frozenset({State(drawn)})


def test_every_drawing_is_of_a_kind_that_is_checked() -> None:
    assert len(STATES) == 2
    assert len(FLOWCHARTS) == 2
    assert len(STATES) + len(SEQUENCES) + len(FLOWCHARTS) == len(DRAWINGS)


def test_the_drawn_states_and_transitions_are_those_of_the_code() -> None:
    drawn = {
        (before, after)
        for source, target in edges()
        if source != "[*]"
        for before in members(source)
        for after in members(target)
    }
    assert drawn == {(before, after) for before, following in TRANSITIONS.items() for after in following}


def test_the_states_and_transitions_of_the_concepts_are_those_of_the_code() -> None:
    picture = (ROOT / "docs/concepts/states.svg").read_text()
    drawn = re.findall(r'data-from="(\w+)" data-to="(\w+)"', picture)
    assert sorted(drawn) == sorted((before, after) for before, following in TRANSITIONS.items() for after in following)
    assert set(re.findall(r">([A-Z_]{6,})<", picture)) == set(State)
    assert [row[0] for row in table("docs/concepts.md", "state")] == [
        *(state for state in State if state in LIVE - {State.COMPENSATING}),
        *(State.SUCCEEDED, State.COMPENSATING, State.FAILED, State.ESCALATED),
    ]


def test_the_drawing_begins_with_the_initial_state() -> None:
    assert [after for before, after in edges() if before == "[*]"] == [State.PENDING]


def test_every_transition_has_a_sentence() -> None:
    rows = table(PAGE, "from")
    assert sorted((before, after) for before, after, _ in rows) == sorted(edge for edge in edges() if edge[0] != "[*]")
    for *edge, sentence in rows:
        assert re.fullmatch(r"[A-Z].+\.", sentence), edge


def test_every_line_of_a_sequence_is_valid_and_every_arrow_joins_declared_participants() -> None:
    for drawing in SEQUENCES:
        there: set[str] = set()
        for line in lines(drawing):
            if declared := _PARTICIPANT.fullmatch(line):
                there.add(declared["name"])
            elif arrow := _ARROW.fullmatch(line):
                assert {arrow["sender"], arrow["receiver"]} <= there, line
            elif note := _NOTE.fullmatch(line):
                assert note["beside"] in there, line
            else:
                assert _FRAME.fullmatch(line), line


def test_every_frame_of_a_sequence_is_closed() -> None:
    for drawing in SEQUENCES:
        opened = [line for line in lines(drawing) if re.match(r"(?:box|loop|alt|par)\b", line)]
        assert len(opened) == lines(drawing).count("end")


def test_every_line_of_a_flowchart_is_valid() -> None:
    for drawing in FLOWCHARTS:
        for line in lines(drawing):
            assert _FLOW.fullmatch(line), line


def test_every_queue_exchange_key_and_task_that_is_named_exists() -> None:
    queues = [*topology.work_queues(), *topology.delay_queues()]
    known = {queue.name for queue in queues} | {queue.exchange.name for queue in queues}
    known |= {topology.CANCEL_KEY} | {found.name for found in vars(tasks).values() if isinstance(found, Task)}
    named = {name for drawing in DRAWINGS for name in re.findall(r"sagas\.[a-z.]+", drawing)}
    named |= set(re.findall(r"`((?:exchange|routing|sagas\.deadline)\.[\w.]+)`", (ROOT / PAGE).read_text()))
    assert named >= {"sagas.step", "sagas.cancel", "exchange.compensate", "routing.compensate.cancel"}
    assert named <= known, named - known


def performed(definition: Definition, place: Place) -> list[str]:
    """The steps that a run at ``place`` performs one after the other."""
    return [link.step for link in plan.links_at(definition, place)]


def test_the_steps_of_an_order_are_drawn_in_the_order_in_which_they_are_performed() -> None:
    definition = PlaceOrder.definition
    last = len(definition.steps)
    loops = [
        line.removeprefix("loop ").split(", ")
        for text in (FORWARD, BACK)
        for line in lines(text)
        if line[:5] == "loop "
    ]
    assert loops == [
        performed(definition, Place(State.PENDING, 0)),
        performed(definition, Place(State.CONFIRMING, 0)),
        performed(definition, Place(State.COMPENSATING, last)),
    ]
    assert all(definition.has_operation(index, Phase.UNDO) for index in range(last))


def test_every_arrow_in_the_drawing_of_an_order_is_explained() -> None:
    for drawing, way in ((FORWARD, "forward"), (BACK, "back")):
        arrows = sum(_ARROW.fullmatch(line) is not None for line in lines(drawing))
        explained: list[int] = []
        for row in table(PAGE, way):
            numbers = [int(number) for number in re.findall(r"\d+", row[0])]
            explained += range(numbers[0], numbers[-1] + 1)
        assert explained == list(range(1, arrows + 1))


def test_the_drawn_transitions_of_an_order_are_legal() -> None:
    for drawing, first, final in ((FORWARD, State.PENDING, State.SUCCEEDED), (BACK, State.COMPENSATING, State.FAILED)):
        states = [State(found["label"]) for line in lines(drawing) if (found := _NOTE.fullmatch(line))]
        assert (states[0], states[-1]) == (first, final)
        for before, after in itertools.pairwise(states):
            assert after in TRANSITIONS[before]


def test_the_screens_of_a_claim_are_those_of_the_code_in_order() -> None:
    screens = [locks.postpone_in_line, *claiming.screens({})]
    # One of them is a ``partial``.
    names = [getattr(screen, "func", screen).__name__.removeprefix("_") for screen in screens]
    assert [row[0].strip("`") for row in table(PAGE, "screen")] == names


def test_the_loser_of_the_drawn_race_finds_the_run_decided() -> None:
    for won in (State.CONFIRMING, State.COMPENSATING):
        assert f", {won}, commit" in RACE
    assert State.COMPENSATING not in TRANSITIONS[State.CONFIRMING]
    assert State.CONFIRMING not in TRANSITIONS[State.COMPENSATING]


def test_the_numbers_in_the_drawings_are_those_of_the_settings() -> None:
    (cohort,) = {int(number) for text in FLOWCHARTS for number in re.findall(r"at most (\d+)", text)}
    assert cohort == Config(queues=("any",)).cohort
    seconds = {int(number) for text in SEQUENCES for number in re.findall(r"(\d+) s\b", text)}
    assert seconds == {settings.CONFIRM_WITHIN_SECONDS}
