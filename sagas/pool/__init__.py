"""A ready-made TCC resource: something countable, of which runs hold, take and give back a quantity.

The stock of a SKU, the capacity of a delivery slot, a presale quota and a coupon budget are pools. Beside the table of
a ``Pool`` is a table of its holds, which says how much each run holds. At every commit, for every row of a pool::

    held = sum of its HELD holds        sold = sum of its CONFIRMED holds + settled

``settled`` is what the CONFIRMED holds of pruned runs have had. The holds go with their runs.

It is set-based: a cohort costs one statement, however many runs and pool rows it has; one or two more if not all of its
calls get what they ask for, or if another transaction has just changed the same rows. Rows are locked in the order of
their keys, after the locks of the runs, so two cohorts cannot deadlock here.

Counts are checked. If the holds are not those that the calls must have, or a pool row is missing or counts less than
its holds, the operation is a fault (``PoolInconsistent``) and changes nothing.
"""

from __future__ import annotations

from sagas.pool.batches import BatchResource
from sagas.pool.models import Batch, Hold, HoldDay, HoldState, Pool, TimedHold
from sagas.pool.resource import Demand, PoolResource

__all__ = ["Batch", "BatchResource", "Demand", "Hold", "HoldDay", "HoldState", "Pool", "PoolResource", "TimedHold"]
