"""What holds between the run of an order and everything that its steps have written, at every commit.

What each step has done is read from the log, not from the code. A run that a person has ended by hand is left out: the
person vouched for its effects.
"""

from __future__ import annotations

from typing import Any

from orders.reconciliation.repairs import restate_order
from orders.sagas import PLACING, ChargeOrder, JoinCampaign
from sagas import Saga
from sagas.invariants import RUNS, Invariant, Repair, Walk

_SAGAS: tuple[type[Saga[Any]], ...] = (*PLACING, ChargeOrder, JoinCampaign)
_NAMES = "', '".join(saga.definition.name for saga in _SAGAS)
#: The runs of orders among the keys, each with its effects, such as ``create_order.forward``.
PLACED = f"""
WITH placed AS MATERIALIZED (
    SELECT run.id, run.saga, run.state, run.request, run.business_key, log.done
    FROM sagas_run AS run CROSS JOIN LATERAL (
        SELECT COALESCE(array_agg(step || '.' || operation) FILTER (WHERE outcome = 'DONE'), '{{}}') AS done,
            COALESCE(bool_or(operation = 'resolve'), false) AS by_hand
        FROM sagas_log WHERE run_id = run.id
    ) AS log
    WHERE run.id = ANY(%(keys)s::text[]::uuid[]) AND run.saga IN ('{_NAMES}') AND NOT log.by_hand
)
"""
#: Of an order ``o``: whether nothing is left of it.
_REFUNDED = (
    "COALESCE((SELECT bool_and(refunded_quantity = quantity) FROM orders_orderline WHERE order_id = o.id), false)"
)


def _of_run(
    name: str,
    says: str,
    *,
    row: str,
    data: str,
    rest: str,
    found: str,
    advice: str,
    repair: Repair | None = None,
) -> Invariant:
    """An invariant of the runs of orders: ``data`` are pairs for ``jsonb_build_object``, ``rest`` is what comes after
    ``FROM placed AS p``.
    """
    sql = (
        f"{PLACED} SELECT p.id::text AS key, {row} AS row, p.id AS run_id, "
        f"jsonb_build_object('order_no', p.business_key, 'run', p.state, {data}) AS data FROM placed AS p {rest}"
    )
    return Invariant(name=name, says=says, walk=RUNS, sql=sql, found=found, advice=advice, repair=repair)


_STATUS = _of_run(
    "orders.status",
    "Each run of an order has its order, of the status that its log comes to.",
    row="'orders_order ' || p.business_key",
    data="'status', COALESCE(o.status, 'not there'), 'expected', e.expected",
    rest="""LEFT JOIN orders_order AS o ON o.run_id = p.id AND o.order_no = p.business_key CROSS JOIN LATERAL (
        SELECT CASE WHEN 'create_order.compensate' = ANY(p.done) THEN 'REJECTED'
            WHEN 'create_order.confirm' = ANY(p.done) THEN 'CONFIRMED'
            WHEN 'create_order.forward' = ANY(p.done) THEN 'PLACED' ELSE 'RECEIVED' END AS expected
    ) AS e WHERE o.status IS DISTINCT FROM e.expected
        AND NOT (e.expected = 'RECEIVED' AND COALESCE(o.status, '') = 'REJECTED' AND p.state = 'FAILED')""",
    found="order {order_no} is {status}, and by the log of its run it is {expected}",
    advice="If the order is not there, restore it from a backup: its run and its money are.",
    repair=Repair("set the status of order {order_no} to {expected}", restate_order),
)
_LINES = _of_run(
    "orders.lines",
    "An order that was placed has the lines that were ordered, at their prices.",
    row="'orders_orderline of ' || p.business_key",
    data="'wanted', w.lines, 'written', l.lines",
    rest="""JOIN orders_order AS o ON o.run_id = p.id CROSS JOIN LATERAL (
        SELECT COALESCE(string_agg(concat(item->>'quantity', ' x ', item->>'sku', ' at ', item->>'unit_price_cents'),
            ', ' ORDER BY item->>'sku'), 'none') AS lines
        FROM jsonb_array_elements(p.request->'items') AS item WHERE 'create_order.forward' = ANY(p.done)
    ) AS w CROSS JOIN LATERAL (
        SELECT COALESCE(string_agg(concat(quantity, ' x ', sku, ' at ', unit_price_cents), ', ' ORDER BY sku), 'none')
            AS lines
        FROM orders_orderline WHERE order_id = o.id
    ) AS l WHERE w.lines <> l.lines""",
    found="order {order_no} has the lines {written}, and {wanted} were ordered",
    advice="The request of the run is what the customer ordered. Restore the lines.",
)
_TOTAL = _of_run(
    "orders.total",
    "An order's total is what its lines cost less its discount, and what is refunded is what the refunded cups cost.",
    row="'orders_order ' || p.business_key",
    data="'total', o.total_cents, 'discount', o.discount_cents, 'refunded', o.refunded_cents, 'expected', e.total, "
    "'expected_discount', e.discount, 'expected_refunded', r.refunded",
    rest="""JOIN orders_order AS o ON o.run_id = p.id CROSS JOIN LATERAL (
        SELECT GREATEST(sum((item->>'quantity')::bigint * (item->>'unit_price_cents')::bigint)
                - COALESCE((p.request->>'discount_cents')::bigint, 0), 0) AS total,
            COALESCE((p.request->>'discount_cents')::bigint, 0) AS discount
        FROM jsonb_array_elements(p.request->'items') AS item
    ) AS e CROSS JOIN LATERAL (
        SELECT COALESCE(sum((quantity::bigint * unit_price_cents - discount_cents) * refunded_quantity / quantity), 0)
            AS refunded
        FROM orders_orderline WHERE order_id = o.id
    ) AS r WHERE COALESCE(o.total_cents, e.total) <> e.total OR o.discount_cents <> e.discount
        OR o.refunded_cents <> r.refunded""",
    found="order {order_no} has a total of {total}, a discount of {discount}, {refunded} refunded; its lines come "
    "to {expected}, {expected_discount} and {expected_refunded}",
    advice="Compare with what was paid. The request of the run has the prices at which it was accepted.",
)
_CUPS = _of_run(
    "orders.cups",
    "A run holds or has bought the cups that its order wants, once it has tried and until it has cancelled.",
    row="'inventory_skuhold of ' || c.sku",
    data="'sku', c.sku, 'wanted', c.wanted, 'there', c.there, 'refunded', c.refunded",
    rest="""CROSS JOIN LATERAL (
        SELECT sku, sum(wanted)::bigint AS wanted, sum(refunded)::bigint AS refunded, sum(there)::bigint AS there FROM (
            SELECT item->>'sku' AS sku, (item->>'quantity')::bigint AS wanted, 0 AS refunded, 0 AS there
            FROM jsonb_array_elements(p.request->'items') AS item
            WHERE 'reserve_inventory.try' = ANY(p.done) AND NOT 'reserve_inventory.cancel' = ANY(p.done)
            UNION ALL SELECT line.sku, 0, line.refunded_quantity, 0
            FROM orders_order AS o JOIN orders_orderline AS line ON line.order_id = o.id WHERE o.run_id = p.id
            UNION ALL SELECT COALESCE(batch.sku_id, hold.pool_key), 0, 0, hold.quantity
            FROM inventory_skuhold AS hold LEFT JOIN inventory_batch AS batch ON batch.key = hold.pool_key
            WHERE hold.run_id = p.id AND hold.state <> 'CANCELLED'
        ) AS each GROUP BY sku
    ) AS c WHERE c.there > c.wanted OR c.there < c.wanted - c.refunded""",
    found="order {order_no} has {there} of {sku}, and by its log it must have {wanted} less up to {refunded} refunded",
    advice="A hold was changed, added or removed by SQL. Restore it, then repair the counts of its batch.",
)
_PLACE = _of_run(
    "orders.place",
    "A run holds or has one place, in its order's slot, once it has tried and until it has cancelled.",
    row="'delivery_slothold of ' || p.business_key",
    data="'places', h.n, 'slot', h.slot, 'booked', e.booked, 'wanted', e.slot",
    rest=f"""LEFT JOIN orders_order AS o ON o.run_id = p.id LEFT JOIN delivery_fulfilment AS f ON f.run_id = p.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS n, sum(quantity) AS quantity, min(pool_key) AS slot FROM delivery_slothold
        WHERE run_id = p.id AND state <> 'CANCELLED'
    ) AS h CROSS JOIN LATERAL (
        SELECT ('schedule_delivery.try' = ANY(p.done) AND NOT 'schedule_delivery.cancel' = ANY(p.done)) AS booked,
            COALESCE(f.slot::text, p.request->>'slot') AS slot
    ) AS e WHERE (h.n <> e.booked::int OR h.n = 1 AND (h.quantity <> 1 OR h.slot <> e.slot))
        AND NOT (e.booked AND h.n = 0 AND {_REFUNDED})""",
    found="order {order_no} has {places} place(s), in slot {slot}; booked by its log: {booked}, in slot {wanted}",
    advice="Restore the hold of the place, then repair the counts of the slot.",
)
_SLOT = _of_run(
    "orders.slot",
    "An order names the slot in which it has its place: the one that it wanted, until it is booked into another.",
    row="'orders_order ' || p.business_key",
    data="'slot', o.slot, 'wanted', e.slot",
    rest="""JOIN orders_order AS o ON o.run_id = p.id LEFT JOIN delivery_fulfilment AS f ON f.run_id = p.id
    CROSS JOIN LATERAL (SELECT COALESCE(f.slot, (p.request->>'slot')::bigint) AS slot) AS e
    WHERE o.slot IS DISTINCT FROM e.slot""",
    found="order {order_no} names slot {slot}, and its place is in slot {wanted}",
    advice="The customer reads the order's slot. Set it to that of the store's work.",
)
_WORK = _of_run(
    "orders.fulfilment",
    "A store has the work of an order exactly if the order's place is confirmed.",
    row="'delivery_fulfilment of ' || p.business_key",
    data="'known', f.order_no, 'confirmed', 'schedule_delivery.confirm' = ANY(p.done)",
    rest="""LEFT JOIN delivery_fulfilment AS f ON f.run_id = p.id
    WHERE ('schedule_delivery.confirm' = ANY(p.done)) <> (f.id IS NOT NULL) OR f.order_no <> p.business_key""",
    found="the place of order {order_no} is confirmed: {confirmed}; the store has its work as: {known}",
    advice="Tell the store. Restore the row, or refuse the work with a reason in the store's queue.",
)
_COUPON = _of_run(
    "orders.coupon",
    "A run uses its order's coupon, for the discount that was granted, once it has redeemed it and until it is undone.",
    row="'coupons_grant of ' || p.business_key",
    data="'coupon', p.request->>'coupon', 'grant', g.id, 'state', COALESCE(g.state, 'not there'), 'used', e.used, "
    "'undone', e.undone, 'discount', g.discount_cents, 'expected', p.request->'discount_cents'",
    rest=f"""LEFT JOIN orders_order AS o ON o.run_id = p.id LEFT JOIN coupons_grant AS g ON g.used_by_run = p.id
    CROSS JOIN LATERAL (
        SELECT ('apply_coupon.forward' = ANY(p.done) AND p.request->>'coupon' IS NOT NULL) AS used,
            'apply_coupon.compensate' = ANY(p.done) AS undone
    ) AS e WHERE NOT CASE WHEN NOT e.used THEN g.id IS NULL
        WHEN e.undone THEN COALESCE(g.state = 'REFUNDED', false)
        ELSE COALESCE(g.state = 'USED' OR g.state = 'REFUNDING' AND p.state IN ('COMPENSATING', 'ESCALATED')
            OR g.state IN ('REFUNDING', 'REFUNDED') AND {_REFUNDED}, false) END
    OR g.coupon_id <> p.request->>'coupon' OR g.discount_cents <> (p.request->>'discount_cents')::bigint""",
    found="the coupon {coupon} of order {order_no} is {state} at a discount of {discount}; by its log, used: {used}, "
    "given back: {undone}, at {expected}",
    advice="A grant was changed by SQL. Give the customer another one where theirs is lost.",
)
_PAID = _of_run(
    "orders.paid",
    "An order that is confirmed and costs something has a payment of its total.",
    row="'payments_payment of ' || p.business_key",
    data="'total', o.total_cents, 'payments', pays.known",
    rest=f"""JOIN orders_order AS o ON o.run_id = p.id CROSS JOIN LATERAL (
        SELECT COALESCE(string_agg(concat(payment_id, ' ', state, ' ', amount), ', '), 'none') AS known,
            COALESCE(bool_or(reason = '' AND amount = o.total_cents AND state NOT IN ('PARKED', 'DUE_BACK')), false)
                AS paid
        FROM payments_payment WHERE run_id = p.id
    ) AS pays WHERE o.total_cents > 0 AND NOT pays.paid AND CASE WHEN p.saga = '{ChargeOrder.definition.name}'
        THEN 'charge.confirm' = ANY(p.done) ELSE p.state IN ('CONFIRMING', 'SUCCEEDED') END""",
    found="order {order_no} is {run} and costs {total}, and its payments are: {payments}",
    advice="Import the gateway's file (`manage.py payments import`): what was paid is entered and judged. If nobody "
    "has paid, refund nothing, and see to the order.",
)
_CONFIRMED = _of_run(
    "orders.confirmation",
    "A run was confirmed by a payment that is there, and a payment that pays has confirmed its run.",
    row="'sagas_confirmation of ' || p.business_key",
    data="'said', c.data->>'payment_id', 'taken', pay.payment_id",
    rest=f"""LEFT JOIN sagas_confirmation AS c ON c.run_id = p.id AND c.name = 'payment'
    LEFT JOIN payments_payment AS pay ON pay.run_id = p.id AND pay.state = 'TAKEN'
    WHERE p.saga <> '{ChargeOrder.definition.name}' AND (pay.id IS NOT NULL AND c.run_id IS NULL
        OR c.data->>'payment_id' IS NOT NULL AND NOT EXISTS (
            SELECT FROM payments_payment WHERE run_id = p.id AND payment_id = c.data->>'payment_id'))""",
    found="the run of order {order_no} was confirmed by payment {said}, and payment {taken} is taken for it",
    advice="Import the gateway's file (`manage.py payments import`), which enters the payment that is missing.",
)
_MEMBER = _of_run(
    "orders.member",
    "A run that has joined a group buy has a member, with as many cups, until it is undone, left or refunded.",
    row="'campaigns_member of ' || p.business_key",
    data="'state', COALESCE(m.state, 'not there'), 'joined', e.joined, 'undone', e.undone, 'cups', m.quantity",
    rest=f"""LEFT JOIN campaigns_member AS m ON m.run_id = p.id LEFT JOIN orders_order AS o ON o.run_id = p.id
    CROSS JOIN LATERAL (
        SELECT 'join.forward' = ANY(p.done) AS joined, 'join.compensate' = ANY(p.done) AS undone,
            (SELECT sum((item->>'quantity')::bigint) FROM jsonb_array_elements(p.request->'items') AS item) AS cups
    ) AS e WHERE NOT CASE WHEN NOT e.joined THEN m.id IS NULL WHEN e.undone THEN COALESCE(m.state = 'LEFT', false)
        ELSE COALESCE(m.state <> 'LEFT' OR p.state NOT IN ('CONFIRMING', 'SUCCEEDED')
            OR {_REFUNDED}, false) END
    OR m.quantity <> e.cups OR m.campaign_id::text <> p.request->>'campaign'""",
    found="the member of order {order_no} is {state} with {cups} cups; by its log, joined: {joined}, undone: {undone}",
    advice="Restore the member: the run's request has the campaign and the cups.",
)

_WITHOUT_RUN = """
SELECT o.run_id::text AS key, 'orders_order ' || o.order_no AS row, o.run_id,
    jsonb_build_object('order_no', o.order_no, 'status', o.status) AS data
FROM orders_order AS o WHERE o.run_id = ANY(%(keys)s::text[]::uuid[]) AND o.status IN ('RECEIVED', 'PLACED')
    AND NOT EXISTS (SELECT FROM sagas_run WHERE id = o.run_id)
"""
#: An order says how it ended when its run is pruned, and a grant that is used stays.
_USED_BY_NOBODY = """
SELECT g.id::text AS key, 'coupons_grant ' || g.id AS row, g.used_by_run AS run_id,
    jsonb_build_object('coupon', g.coupon_id, 'customer', g.customer_id, 'state', g.state) AS data
FROM coupons_grant AS g WHERE g.id = ANY(%(keys)s::text[]::bigint[]) AND g.state IN ('USED', 'REFUNDING')
    AND NOT EXISTS (SELECT FROM sagas_run WHERE id = g.used_by_run)
    AND NOT EXISTS (SELECT FROM orders_order WHERE run_id = g.used_by_run AND status = 'CONFIRMED')
"""
_STOCK = """
SELECT c.id::text AS key, 'inventory_move of campaign ' || c.id AS row, NULL::uuid AS run_id,
    jsonb_build_object('campaign', c.id, 'out', moves.out, 'cups', q.available + q.held + q.sold) AS data
FROM campaigns_campaign AS c JOIN campaigns_quota AS q ON q.campaign_id = c.id CROSS JOIN LATERAL (
    SELECT COALESCE(-sum(available + written_off), 0) AS out FROM inventory_move
    WHERE allocated_to = 'campaign ' || c.id
) AS moves
WHERE c.id = ANY(%(keys)s::text[]::bigint[])
    AND moves.out <> CASE WHEN c.presale THEN 0 ELSE q.available + q.held + q.sold END
"""
_DECISION = f"""
SELECT c.id::text AS key, 'campaigns_campaign ' || c.id AS row, NULL::uuid AS run_id,
    jsonb_build_object('campaign', c.id, 'state', c.state, 'told', CASE WHEN d.id IS NULL THEN 'nothing'
        WHEN d.data IS NULL THEN 'that it is off' ELSE 'that it has formed' END) AS data
FROM campaigns_campaign AS c
LEFT JOIN sagas_shareddecision AS d
    ON d.saga = '{JoinCampaign.definition.name}' AND d.name = 'formed' AND d.key = c.id::text
WHERE c.id = ANY(%(keys)s::text[]::bigint[]) AND CASE c.outcome WHEN '' THEN d.id IS NOT NULL
    WHEN 'FORMED' THEN d.data IS NULL ELSE d.id IS NULL OR d.data IS NOT NULL END
"""
_CAMPAIGNS = Walk("campaigns_campaign", "id", "bigint")

INVARIANTS = (
    _STATUS,
    _LINES,
    _TOTAL,
    _CUPS,
    _PLACE,
    _SLOT,
    _WORK,
    _COUPON,
    _PAID,
    _CONFIRMED,
    _MEMBER,
    Invariant(
        name="orders.run",
        says="An order that has not ended has its run.",
        walk=Walk("orders_order", "run_id", "uuid", grows=True),
        sql=_WITHOUT_RUN,
        found="order {order_no} is {status}, and its run is not there, so that nothing moves it",
        advice="Restore the run from a backup, with its log. If its customer has paid, see to the payment.",
    ),
    Invariant(
        name="orders.used_by",
        says="A coupon that is used is used by a run, or by a confirmed order of before.",
        walk=Walk("coupons_grant", "id", "bigint", grows=True),
        sql=_USED_BY_NOBODY,
        found="a grant of {coupon} is {state} by a run that is not there, and no confirmed order has it",
        advice="Issue the coupon to the customer again, on the page of coupons.",
    ),
    Invariant(
        name="orders.campaign_stock",
        says="A campaign has the cups that were taken out of the stock for it, and did not come back.",
        walk=_CAMPAIGNS,
        sql=_STOCK,
        found="{out} cups were taken out of the stock for campaign {campaign}, and it has {cups}",
        advice="Compare the campaign's changes with the ledger of its drink, then correct the one that is wrong.",
    ),
    Invariant(
        name="orders.campaign_decision",
        says="The runs of a campaign are told what was decided, and nothing before.",
        walk=_CAMPAIGNS,
        sql=_DECISION,
        found="campaign {campaign} is {state}, and its runs are told {told}",
        advice="The decision of the runs is final. If the campaign's row was changed by SQL, restore it.",
    ),
)
