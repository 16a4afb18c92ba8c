"""Schedules that have found something wrong, shrunk: with the engine, or with what the simulator asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.simulator.bench import Bench

#: Of the engine. Each has a test of its own besides, on a real connection.
ENGINE = {
    # tests/integration/engine/test_performing.py: a savepoint that could not be rolled back was told as the
    # participant's fault.
    "a participant breaks, and its savepoint cannot be released": """
        seed 10004254
        0 start a saga=Small faults=one.forward:2
        conflict one.forward(a)#1 at=5
    """,
    # tests/integration/definition/test_versions.py: an event for code that this process has not was lost until the
    # lease was over.
    "a rejection is told to a worker that does not know the step": """
        seed 10000555 carrier=choreography
        0 start b saga=Changing reject=added
        0 deploy Changing for=5
    """,
    # tests/integration/engine/test_subsagas.py: what broke behind a commit was raised as an AttributeError of Django's.
    "the connection breaks while a child is cancelled behind a commit": """
        seed 10022975
        1 start a saga=Parent
        12 cancel a
        stall child.forward(a)#1 at=8 for=11
        cut child.compensate(a)#1 at=14
    """,
    # tests/integration/postgresql/test_cut_off.py: Django's InterfaceError is no DatabaseError.
    "a hook breaks the connection, which the deadline finds closed": """
        seed 10039294 here=orders,inventory,coupons,delivery stock=1
        0 start a saga=PlaceOrder cups=2
        cut dispatch#2 at=12
    """,
    # tests/integration/definition/test_versions.py: it was set aside, and a person told of it.
    "a late message of a run that has ended comes to a worker that does not know its step": """
        seed 50397294
        0 start a saga=Changing
        1 cancel a
        0 deploy Changing for=5
    """,
    # tests/integration/definition/test_versions.py: so was this.
    "the deadline of a run that has ended comes to a worker that does not know its saga": """
        seed 64002227
        0 start c saga=Changing
        0 confirm c what=approval
        0 deploy Changing for=1 back=1 gone=1
    """,
    # tests/integration/engine/test_subsagas.py: it asked every half minute, and wrote so in its log each time.
    "a parent asks for ever after a child that waits for a person": """
        seed 71001716
        0 start c saga=Parent
        0.015 leak inventory for=2000
    """,
    # tests/integration/local/test_claims.py: its deaths were counted for all branches of the fork.
    "a branch of a choreographed fork ends every process that performs it without a broker": """
        seed 48870 carrier=choreography work=yes
        0 start a saga=Forked kills=left.forward
        0 confirm a what=approval
    """,
}
#: Of the checks: the engine was right.
CHECKS = {
    "undone by key, for who had done it died between the two commits": """
        seed 10004364
        0 start c saga=AfarForked reject=three
        crash two.forward(c)#1 at=6
    """,
    "undone by key, for who was about to do it lost its run, and did it": """
        seed 10001703
        0 start a saga=Afar
        stall three.try(a)#1 at=3 for=32
    """,
    "a run waits for a key that a person's run has": """
        seed 50079108
        0 start a saga=KeyedTillApproved faults=one.compensate:3 keys=k
        0 start b saga=KeyedTillApproved keys=k,l
    """,
    "children wait for their parent, which waits for a person": """
        seed 50147921
        0 start a saga=KeyedParent
        0.028 leak orders for=2000
    """,
    "a child waits for its parent, which waits for its other child, which a person has": """
        seed 50158013
        0 start a saga=KeyedParent
        1 leak coupons for=2000
    """,
    "a process stands still while its code is taken back from the others": """
        seed 50242761 here=orders,inventory,coupons,delivery
        0 start b saga=Changing faults=one.forward:3
        0 deploy Changing for=1 back=1 gone=1
        stall dispatch#2 at=4 for=1
    """,
    "a hook breaks the connection of a process that is asked for something then": """
        seed 50290745
        0 start a saga=PlaceOrder
        29 confirm a what=payment
        26 refuse a what=payment
        cut create_order.compensate(a)#1 at=7
    """,
    "a late message is for code that was taken back, and is set aside": """
        seed 50131568
        0 start a saga=Changing
        0 deploy Changing for=1 back=30
        lose added.forward(a)#1
        delay added.forward(a)#2 by=40
    """,
    "a message is passed on for a lease while a deploy rolls, and its step kills who has the code": """
        seed 50422207
        0 start b saga=Changing kills=added.forward
        0 deploy Changing for=40
    """,
    "a child does not wait for a key, for its parent would wait with it": """
        seed 10017245
        0 start a saga=KeyedParent keys=l,k
        0 start b saga=KeyedTillApproved keys=k
    """,
    # A process stood before a lock again at once, and the time did not go on to its release.
    "a process without a broker stands before a lock that a confirmation holds": """
        seed 59998 work=yes
        0 start a saga=PlaceOrder
        0.003 confirm a what=payment
        cut work#1 at=13
        stall confirm(a)#1 at=4 for=1
    """,
    # The run in which a late payment goes back got the id of the order that was not accepted.
    "the connection breaks before an order draws its id": """
        seed 74677
        2 start c saga=PlaceOrder
        0 start d saga=PlaceOrder
        30.008 confirm d what=payment
        cut start(c)#1 at=2
    """,
}


@pytest.mark.parametrize("trace", [*ENGINE.values(), *CHECKS.values()], ids=[*ENGINE, *CHECKS])
def test_schedules_that_found_bugs_pass_now(bench: Bench, trace: str) -> None:
    from tests.simulator.play import replay
    from tests.simulator.trace import parse

    # When
    played = replay(bench, trace)
    # Then it goes well, and what was to strike did
    assert not played.failed, played.report()
    assert {str(item) for item in parse(trace).items} <= {str(item) for item in played.schedule.items}
