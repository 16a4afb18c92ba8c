"use strict";
// The total, and with it the price that the customer has seen: the shop refuses the order if it has changed.
(() => {
  const form = document.getElementById("place");
  const shown = document.getElementById("total");
  const expected = form.querySelector("[data-total]");
  const coupon = document.getElementById("coupon");
  const add = () => {
    let cents = 0;
    form.querySelectorAll("[data-cents]").forEach((cups) => {
      if (cups.validity.valid) cents += Number(cups.dataset.cents) * Number(cups.value);
    });
    shown.textContent = `${shown.dataset.symbol}${(cents / 100).toFixed(2)}`;
    shown.parentElement.hidden = false;
    // What a coupon takes off, the shop knows.
    expected.value = coupon.value.trim() ? "" : cents;
  };
  form.addEventListener("input", add);
  add();
})();
