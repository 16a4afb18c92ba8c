"""Demo data: drinks, delivery slots, coupons of every kind, and a group buy. Safe to repeat.

Existing rows are not changed: once there are orders, runs move stock and coupons.
"""

from __future__ import annotations

from datetime import time, timedelta

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from knox.models import AuthToken

from campaigns.models import Campaign, CampaignState
from coupons.models import Coupon
from delivery.models import DEFAULT_STORE, OpeningHours, Slot, Store
from inventory.models import Batch, Sku
from inventory.services import add_sku
from orders.groups import staff

CUSTOMER = "demo"
#: Who joins group buys with the demo customer, and has the same password.
FRIEND = "demo-friend"
_OTHER = "someone-else"

#: Code, name, price in cents, cups.
_MENU = [
    ("MILKTEA-M", "珍珠奶茶 Pearl milk tea", 1600, 500),
    ("MILKTEA-L", "珍珠奶茶 Pearl milk tea, large", 1900, 500),
    ("OOLONG-M", "四季春乌龙 Four seasons oolong", 1200, 400),
    ("JASMINE-M", "茉莉绿茶 Jasmine green tea", 1200, 400),
    ("LEMON-L", "暴打柠檬茶 Hand-smashed lemon tea", 1800, 300),
    ("GRAPE-L", "多肉葡萄 Grape and cheese foam", 2800, 200),
    ("MANGO-L", "杨枝甘露 Mango pomelo sago", 2600, 200),
    ("PEACH-L", "蜜桃乌龙 Peach oolong", 2200, 200),
    ("TARO-M", "芋泥波波 Taro bobo", 2000, 150),
    ("COFFEE-M", "生椰拿铁 Coconut latte", 2100, 300),
    ("AMERICANO-M", "冰美式 Iced americano", 1500, 300),
    ("LIMITED-M", "限定桂花酒酿 Osmanthus, limited", 3200, 20),
    ("JUICE-M", "鲜榨橙汁 Fresh orange juice", 2400, 150),
]
#: Minutes for which a drink is good; the others keep.
_SHELF_LIVES = {"JUICE-M": 90}
#: Code, discount in cents, days until it expires, used, of another customer.
_COUPONS = [
    *((f"WELCOME{n}", 500, 365, False, False) for n in range(1, 6)),
    ("EXPIRED", 500, -1, False, False),
    ("USED", 500, 365, True, False),
    ("NOTYOURS", 500, 365, False, True),
]
#: A tenth off, for whoever claims it.
_CLAIMED = "TEATIME"
#: The group buy: the first part of its page's address, its drink, and the cups that are set aside.
_GROUP, _GROUP_SKU, _GROUP_CUPS = "oolong", "OOLONG-M", 60
_DAYS = 7
_HOURS = (10, 12, 15, 18)
_CAPACITY = 200


@transaction.atomic
def seed(*, admin: str = "", password: str = "", customers_password: str = "") -> User:
    """Create missing demo data, and return the demo customer.

    Args:
        admin: name of a superuser to create, or whose password to set; none if empty.
        password: the superuser's password.
        customers_password: the demo customer's and their friend's, who cannot sign in without one.
    """
    users = get_user_model()._default_manager
    customer = _add_customer(CUSTOMER, customers_password)
    _add_customer(FRIEND, customers_password)
    other, _ = users.get_or_create(username=_OTHER)
    for code, name, price_cents, available in _MENU:
        if not Sku.objects.filter(code=code).exists():
            add_sku(
                code=code,
                name=name,
                price_cents=price_cents,
                available=available,
                shelf_life_minutes=_SHELF_LIVES.get(code),
                reason="demo data",
            )
    now = timezone.now()
    for code, discount_cents, days, used, others in _COUPONS:
        defaults = {
            "discount_cents": discount_cents,
            "expires_at": now + timedelta(days=days),
            # Nothing is left of it: a grant that nobody has used would be found by reconciliation.
            **({"available": 0} if used else {}),
            "customer": other if others else None,
        }
        Coupon.objects.get_or_create(code=code, defaults=defaults)
    part = {"kind": "PERCENT", "percent": 10, "cap_cents": 300, "minimum_cents": 2000}
    many = {"available": 1000, "per_customer": 3, "expires_at": now + timedelta(days=365)}
    Coupon.objects.get_or_create(code=_CLAIMED, defaults={**part, **many})
    _open_slots()
    _open_campaign()
    if admin:
        boss, _ = users.get_or_create(username=admin, defaults={"is_staff": True, "is_superuser": True})
        boss.set_password(password)
        boss.save(update_fields=["password"])
    return customer


def token(*, customer: User) -> str:
    """Create a token of a customer; it is shown once, and kept hashed. Earlier tokens stay valid."""
    _, secret = AuthToken.objects.create(user=customer)
    return str(secret)


def _add_customer(name: str, password: str) -> User:
    customer, _ = get_user_model()._default_manager.get_or_create(username=name)
    # A password that stays keeps its sessions.
    if password and not customer.check_password(password):
        customer.set_password(password)
        customer.save(update_fields=["password"])
    return customer


def _open_slots() -> None:
    today = timezone.localtime().replace(minute=0, second=0, microsecond=0)
    for day in range(1, _DAYS + 1):
        for hour in _HOURS:
            start = (today + timedelta(days=day)).replace(hour=hour)
            Slot.objects.get_or_create(
                starts_at=start, ends_at=start + timedelta(hours=2), defaults={"available": _CAPACITY}
            )
    # The first slot has made the store.
    store = Store.objects.get(pk=DEFAULT_STORE)
    if not store.hours.exists():
        for weekday in OpeningHours.Weekday.values:
            OpeningHours.objects.create(store=store, weekday=weekday, opens=time(10), closes=time(20))


def _open_campaign() -> None:
    """Open a group buy until tomorrow morning, unless one is open."""
    if Campaign.objects.filter(slug__startswith=_GROUP, state=CampaignState.OPEN).exists():
        return
    ends = (timezone.localtime() + timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)
    slug = f"{_GROUP}-{ends:%Y%m%d}"
    slot = Slot.objects.filter(starts_at__gt=ends, active=True).order_by("starts_at").first()
    has_cups = Batch.objects.filter(key=_GROUP_SKU, available__gte=_GROUP_CUPS).exists()
    if slot is None or not has_cups or Campaign.objects.filter(slug=slug).exists():
        return
    staff.open_campaign(
        by="seed",
        slug=slug,
        title="四季春拼团 Oolong together",
        sku=_GROUP_SKU,
        price_cents=900,
        slot=slot.pk,
        minimum=3,
        capacity=20,
        quota=_GROUP_CUPS,
        closes_at=ends,
    )
