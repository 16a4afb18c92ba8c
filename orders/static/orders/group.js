"use strict";
// The page without it is whole, and as old as its last load.
(() => {
  const live = document.getElementById("live");
  let until = 0;

  const begin = () => {
    const clock = live.querySelector(".countdown");
    // By the server's clock: how much is left, and not when.
    until = clock ? performance.now() + Number(clock.dataset.seconds) * 1000 : 0;
  };
  const two = (number) => String(number).padStart(2, "0");
  const tick = () => {
    const clock = live.querySelector(".countdown");
    if (!clock) return;
    const left = Math.max(0, Math.floor((until - performance.now()) / 1000));
    const days = Math.floor(left / 86400);
    const text = `${two(Math.floor(left / 3600) % 24)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
    clock.textContent = days ? `${days}d ${text}` : text;
  };
  begin();
  tick();
  setInterval(tick, 1000);

  // A member's own part follows, too; not all members at once, and not more often than every few seconds.
  let planned = false;
  const follow = () => {
    const own = document.getElementById("own");
    if (planned || !("member" in own.dataset)) return;
    planned = true;
    setTimeout(async () => {
      planned = false;
      const response = await fetch(location.pathname.replace(/(join|leave)\/$/, ""), { credentials: "same-origin" });
      if (!response.ok) return;
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("own");
      if (fresh) document.getElementById("own").replaceWith(fresh);
    }, 500 + Math.random() * 2500);
  };

  if ("EventSource" in window) {
    const source = new EventSource(live.dataset.events);
    source.addEventListener("standing", (event) => {
      live.innerHTML = event.data;
      begin();
      tick();
      follow();
    });
    source.addEventListener("end", () => source.close());
  }

  const copy = document.getElementById("copy");
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById("link").value);
      copy.textContent = copy.dataset.done;
    });
  }
})();
