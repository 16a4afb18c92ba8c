"""How large a run's data may be: its request, each step's result, what comes with a confirmation.

They travel through every lock and every log row of their run, so one large value slows its neighbours down. What is
large belongs in a table of the domain, and its key here.
"""

from __future__ import annotations

from sagas.conf import config
from sagas.errors import DataTooLarge


def check_size(text: str, what: str) -> None:
    """Refuse JSON text of more than ``SAGAS["DATA_LIMIT"]`` bytes.

    Args:
        text: as it will be stored, in UTF-8.
        what: whose text it is, for the error: "the request of orders.PlaceOrder".

    Raises:
        DataTooLarge: its message tells how large the text is, and what the limit is.
    """
    limit = config().data_limit
    # The length in characters is known, and is the length in bytes of nearly all texts; only others are measured.
    size = len(text) if text.isascii() or len(text) > limit else len(text.encode())
    if size > limit:
        size = len(text.encode())
        msg = (
            f"{what} is {size:,} bytes of JSON; SAGAS['DATA_LIMIT'] is {limit:,}. "
            "Keep what is large in a table of your own, and its key here"
        )
        raise DataTooLarge(msg, size=size, limit=limit)
