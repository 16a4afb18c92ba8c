"""The gateway's pages: what a payer sees, and what the gateway does wrong. No script, and no style inside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from html import escape
from typing import Any

from sender import Misbehaviour

_MEANS = {
    "twice": "send each message twice",
    "wrong_amount": "name an amount that is one too low",
    "impatient": "wait 5 s for an answer, and never repeat a message",
    "refuse_refunds": "refuse refunds",
    "lose_answers": "close connections of refunds and charges without an answer",
    "forget_keys": "forget idempotency keys",
}


_BACK = "<p><a href=/>All payments, and what goes wrong</a></p>"


def money(amount: int, currency: str) -> str:
    """An amount as people read it."""
    return f"{amount // 100}.{amount % 100:02d} {escape(currency)}"


def payer(payment: dict[str, Any]) -> str:
    """The page on which a person pays, declines, or does nothing."""
    about = (
        f"<p class=amount>{money(payment['amount'], payment['currency'])}</p>"
        f"<p>Order {escape(payment['order_no'])}<br><small>{escape(payment['id'])}</small></p>"
    )
    if payment["state"] != "open":
        said = {"succeeded": "Paid.", "failed": "Declined.", "closed": "Closed."}[payment["state"]]
        return _page("Payment", f"{about}<p class={payment['state']}>{said}</p>{_BACK}")
    buttons = "".join(
        f"<button name=decision value={value} class={value}>{text}</button>"
        for value, text in (("succeeded", "Pay"), ("failed", "Decline"), ("closed", "Close"))
    )
    form = f"<form method=post action='/payments/{escape(payment['id'])}'>{buttons}</form>"
    return _page("Payment", f"{about}{form}<p><small>Or do nothing, and see what the shop does.</small></p>{_BACK}")


def console(payments: Iterable[dict[str, Any]], wrong: Misbehaviour, sent: Iterable[tuple[str, str, str]]) -> str:
    """The console: payments, what the gateway does wrong, and what it has sent."""
    rows = "".join(
        f"<tr><td><a href='/payments/{escape(p['id'])}'>{escape(p['id'])}</a><td>{escape(p['order_no'])}"
        f"<td class=number>{money(p['amount'], p['currency'])}<td>{escape(p['state'])}"
        f"<td class=number>{money(p['returned'], p['currency']) if p['returned'] else ''}"
        for p in payments
    )
    flags = asdict(wrong)
    boxes = "".join(
        f"<label><input type=checkbox name={name} {'checked' if flags[name] else ''}> {text}</label>"
        for name, text in _MEANS.items()
    )
    messages = "".join(f"<tr><td>{escape(what)}<td>{escape(said[:160])}" for what, _, said in sent)
    return _page(
        "Sandbox gateway",
        "<h2>A new payment</h2><form method=get action=/pay><label>Order <input name=order_no required></label>"
        "<label>Amount in cents <input name=amount type=number min=0 required></label>"
        "<label>Currency <input name=currency value=CNY required></label><button>Begin</button></form>"
        f"<h2>Misbehave</h2><form method=post action=/misbehave>{boxes}"
        "<label>send messages late, by seconds "
        f"<input name=late type=number min=0 max=3600 step=any value={wrong.late:g}></label><button>Set</button></form>"
        f"<h2>Payments</h2><div class=wide><table><tr><th>payment<th>order<th>amount<th>state<th>returned{rows}"
        f"</table></div><p><a href=/daily.csv>The daily file</a></p>"
        f"<h2>Messages sent</h2><div class=wide><table><tr><th>message<th>answer{messages}</table></div>",
    )


def _page(title: str, body: str) -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><link rel=stylesheet href=/style.css><main><h1>{title}</h1>{body}</main>"
    )


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: #f4f4f1; color: #222; }
main { max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.amount { font-size: 2.4rem; margin: 1rem 0 0; }
button { font: inherit; padding: .6rem 1.4rem; margin: .2rem .4rem .2rem 0; border: 1px solid #555;
  border-radius: .4rem; background: #fff; cursor: pointer; }
button.succeeded { background: #176a3a; border-color: #176a3a; color: #fff; }
p.succeeded { color: #176a3a; } p.failed, p.closed { color: #9c1f1f; }
label { display: block; margin: .3rem 0; padding: .3rem 0; }
input { font: inherit; max-width: 100%; box-sizing: border-box; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td { overflow-wrap: anywhere; min-width: 6.5rem; } .number { text-align: right; white-space: nowrap; }
"""
