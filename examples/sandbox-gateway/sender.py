"""The gateway's webhooks: signed, repeated until they are answered, and misbehaving on demand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import logging
import threading
import time
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

logger = logging.getLogger("gateway")

#: Seconds between the attempts of one message. Then the gateway gives up, as real ones do after days.
_WAITS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 60.0)


@dataclass
class Misbehaviour:
    """What the gateway does wrong at the moment.

    Attributes:
        late: seconds that a message waits before it is sent.
        twice: each message is sent two times at once.
        wrong_amount: messages name an amount that is one too low.
        impatient: an answer is waited for 5 s, and a message is sent once and never again.
        refuse_refunds: refunds are refused.
        lose_answers: refunds and charges are made, and the connection is closed without an answer.
        forget_keys: idempotency keys are forgotten at once, and a repeat is a new request.
    """

    late: float = 0.0
    twice: bool = False
    wrong_amount: bool = False
    impatient: bool = False
    refuse_refunds: bool = False
    lose_answers: bool = False
    forget_keys: bool = False

    def set(self, told: dict[str, str]) -> None:
        """Take what a form says: what it does not name is right again.

        Raises:
            ValueError: "late" is no number of seconds from 0 to 3600.
        """
        late = float(told.get("late") or 0)
        # Neither does "nan" lie between them.
        if not 0 <= late <= 3600:
            raise ValueError(late)
        self.late = late
        for field in fields(self):
            if field.name != "late":
                setattr(self, field.name, field.name in told)


class Sender:
    """Sends messages to one URL of the shop.

    Args:
        url: the shop's ``…/api/v1/payments/webhook/NAME/``; empty: nothing is sent.
        secret: ``whsec_`` and base64.
        wrong: what it does wrong.
    """

    def __init__(self, url: str, secret: str, wrong: Misbehaviour) -> None:
        self._url = urlsplit(url) if url else None
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._wrong = wrong
        #: The last messages and their answers, newest first.
        self.sent: list[tuple[str, str, str]] = []

    def send(self, event: dict[str, Any]) -> None:
        """Send an event in a thread of its own."""
        if self._url is None:
            return
        if self._wrong.wrong_amount:
            event = {**event, "amount": event["amount"] - 1}
        message_id = f"msg_{uuid4().hex}"
        for _ in range(2 if self._wrong.twice else 1):
            threading.Thread(target=self._deliver, args=(message_id, json.dumps(event), event), daemon=True).start()

    def _deliver(self, message_id: str, body: str, event: dict[str, Any]) -> None:
        time.sleep(self._wrong.late)
        once = self._wrong.impatient
        for wait in (*_WAITS, 0.0):
            said = self._post(message_id, body, timeout=5.0 if once else 30.0)
            self.sent = [(f"{event['status']} {event['payment_id']}", message_id, said), *self.sent[:19]]
            logger.info("%s of %s: %s", event["status"], event["payment_id"], said)
            if said.startswith("200") or once or not wait:
                return
            time.sleep(wait)

    def _post(self, message_id: str, body: str, *, timeout: float) -> str:
        assert self._url is not None
        now = str(int(time.time()))
        signed = hmac.digest(self._key, f"{message_id}.{now}.{body}".encode(), hashlib.sha256)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=timeout)
        try:
            connection.request("POST", self._url.path, body.encode(), headers)
            answer = connection.getresponse()
            return f"{answer.status} {answer.read(2000).decode(errors='replace')}"
        except OSError as error:
            return f"no answer: {error}"
        finally:
            connection.close()
