"""The addresses that customers have registered, and what there is to tell them."""

from __future__ import annotations

import base64
import secrets
from uuid import uuid4

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

#: The longest URL, name of a kind, and name of a subject.
URL_LIMIT = 500
KIND_LIMIT = 64
SUBJECT_LIMIT = 64
#: An endpoint asks for so many kinds at most.
KINDS = 50
#: What the data of an event mean. It is sent with every event, and grows when an old client would misread a new event.
API_VERSION = "2026-11-30"


def new_secret() -> str:
    """A secret as Standard Webhooks has it: ``whsec_`` and 32 bytes in base64."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


class Endpoint(models.Model):
    """An address of a customer."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    url = models.CharField("URL", max_length=URL_LIMIT)
    secret = models.CharField(max_length=100, default=new_secret, editable=False, help_text="What signs the messages.")
    kinds = ArrayField(models.CharField(max_length=KIND_LIMIT), size=KINDS, default=list, help_text="None: all.")
    created_at = models.DateTimeField(db_default=Now())
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    delivered_at = models.DateTimeField(null=True, editable=False, help_text="When something was delivered last.")

    class Meta:
        """A customer registers an address once."""

        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(name="webhooks_endpoint_once", fields=["customer", "url"]),
            models.CheckConstraint(
                name="webhooks_endpoint_disabled_for_a_reason",
                condition=models.Q(disabled_at__isnull=True, disabled_reason="")
                | (models.Q(disabled_at__isnull=False) & ~models.Q(disabled_reason="")),
            ),
        ]

    def __str__(self) -> str:
        """Name it by its URL."""
        return self.url


class Event(models.Model):
    """Something that has happened, as it is told to each endpoint of its customer. It is kept for 30 days."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(
        default=uuid4, editable=False, help_text="The same in every attempt, at every endpoint."
    )
    customer_id = models.IntegerField()
    kind = models.CharField(max_length=KIND_LIMIT)
    subject = models.CharField(max_length=SUBJECT_LIMIT, help_text="What it happened to: the number of an order.")
    sequence = models.IntegerField(help_text="Counts the events of a subject, from 1.")
    data = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    #: The transaction that wrote it: rows with a lower number may be committed later than those with a higher one.
    transaction = models.BigIntegerField(editable=False)

    class Meta:
        """Lists go by transaction, because ids commit out of order."""

        ordering = ["transaction", "id"]
        constraints = [
            models.UniqueConstraint(name="webhooks_event_once", fields=["event_id"]),
            # The lock of the subject's run keeps the count; this proves it.
            models.UniqueConstraint(name="webhooks_event_in_sequence", fields=["subject", "sequence"]),
        ]
        indexes = [
            models.Index(name="webhooks_event_of_customer", fields=["customer_id", "transaction", "id"]),
            models.Index(name="webhooks_event_age", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.kind} of {self.subject}"
