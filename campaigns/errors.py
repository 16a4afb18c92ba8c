"""Errors with which the campaigns domain refuses a change before anything is written."""

from __future__ import annotations


class CampaignError(Exception):
    """A campaign cannot be changed like this; nothing was written."""


class CampaignNotFound(CampaignError):
    """There is no such campaign."""


class NotOpen(CampaignError):
    """The campaign is decided, or it takes no more joins."""


class Frozen(CampaignError):
    """A customer has joined: what was offered does not change any more."""


class ReasonMissing(CampaignError):
    """A change that customers may ask about needs a reason."""


class AlreadyFormed(CampaignError):
    """The campaign has formed: nobody leaves it any more."""


class InvalidTerms(CampaignError):
    """What is to be offered contradicts itself; the message says what."""
