"use strict";
// Keeps the queue up to date. Without it the page reloads itself every quarter of a minute.
(() => {
  const EVERY = 3000;
  const stale = document.getElementById("stale");
  const live = () => document.getElementById("live");

  const replace = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
    if (!fresh) return;
    // Who is about to press a button by the keyboard keeps it, if the order is still there.
    const held = document.activeElement?.closest?.("#live article");
    const key = held && `${held.dataset.order} ${document.activeElement.value ?? ""}`;
    live().replaceWith(fresh);
    if (key) {
      for (const button of live().querySelectorAll("article button")) {
        if (`${button.closest("article").dataset.order} ${button.value}` === key) button.focus();
      }
    }
  };

  const look = async () => {
    if (document.hidden) return;
    try {
      const headers = { "If-None-Match": live().dataset.etag };
      const response = await fetch(location.pathname, { headers, cache: "no-store", credentials: "same-origin" });
      if (response.redirected || response.status === 403) {
        // Signed out.
        location.reload();
        return;
      }
      if (response.status === 200) replace(await response.text());
      stale.hidden = response.status === 200 || response.status === 304;
    } catch {
      stale.hidden = false;
    }
  };

  const go = async () => {
    await look();
    setTimeout(go, EVERY);
  };
  setTimeout(go, EVERY);
  document.addEventListener("visibilitychange", look);
})();
