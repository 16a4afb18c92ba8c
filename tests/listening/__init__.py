"""An app with listeners, for processes that are started with it (``LAB_APPS``)."""
