"""One hot SKU by TCC under a lock in Redis (``hot_stock``): a task tries, and a second one confirms.

The application and its worker are those of ``naive``; the sessions with PostgreSQL and Redis are kept.
"""

import quorum
from celery import chain
from common import main
from hot_stock import Taken, cancel, confirm, create_stock, try_

app = quorum.application("hot_lock")


@app.task(bind=True, name="reserve", max_retries=None)
def reserve(self, run):
    """Try; an order that gets no cup ends here."""
    try:
        if not try_(run):
            self.request.chain = None
    except Taken as taken:
        raise self.retry(exc=taken, countdown=0) from taken


@app.task(bind=True, name="settle", max_retries=None)
def settle(self, run, paid):
    """Confirm or cancel."""
    try:
        (confirm if paid else cancel)(run)
    except Taken as taken:
        raise self.retry(exc=taken, countdown=0) from taken


def setup():
    """Declare the queue."""
    quorum.declare(app)


def start(run):
    """Publish an order that is paid."""
    chain(reserve.si(run), settle.si(run, True)).apply_async()


if __name__ == "__main__":
    main(setup=setup, start=start, work=lambda: quorum.work(app), create=create_stock)
