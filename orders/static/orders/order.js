"use strict";
// Follows an order: whenever the shop tells of something, the part that lives is fetched anew.
(() => {
  let source = null;
  let until = 0;
  let busy = false;
  let again = false;
  const live = () => document.getElementById("live");
  const begin = () => {
    const clock = live().querySelector(".countdown");
    // By the server's clock: how much is left, and not when.
    until = clock ? performance.now() + Number(clock.dataset.seconds) * 1000 : 0;
  };
  const tick = () => {
    const clock = live().querySelector(".countdown");
    if (clock) clock.textContent = `${Math.max(0, Math.ceil((until - performance.now()) / 1000))} s`;
  };
  const load = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    do {
      again = false;
      try {
        // An answer to a form that was refused stands under another address.
        const path = location.pathname.replace(/(cancel|rebook|give-back)\/$/, "");
        const response = await fetch(path, { credentials: "same-origin" });
        if (!response.ok || response.redirected) return;
        const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("live");
        if (!fresh) return;
        const open = live().querySelector("details[open]");
        if (open) fresh.querySelector("details")?.setAttribute("open", "");
        live().replaceWith(fresh);
        begin();
        tick();
      } finally {
        busy = false;
      }
    } while (again);
  };
  begin();
  setInterval(tick, 1000);
  if ("EventSource" in window && live().dataset.events) {
    source = new EventSource(live().dataset.events);
    for (const name of ["state", "step", "fulfilment"]) source.addEventListener(name, load);
    source.addEventListener("end", () => {
      source.close();
      load();
    });
  }
})();
