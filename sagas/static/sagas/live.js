/* Keeps a page up to date: asks for the part that lives while the page is looked at, and says when it is stale. */
"use strict";

(() => {
    const root = document.querySelector("[data-live]");
    if (!root) return;
    const part = root.querySelector("[data-live-part]");
    const note = root.querySelector("[data-live-note]");
    const pause = 1000 * Number(root.dataset.seconds);
    // Ages are by the database's clock, whatever this machine's says.
    const skew = Date.parse(root.dataset.now) - Date.now();
    let etag = "";
    let answered = Date.now();
    let asking = false;

    const show = () => {
        const seconds = Math.round((Date.now() - answered) / 1000);
        const stale = Date.now() - answered > 3 * pause;
        note.hidden = false;
        note.classList.toggle("saga-stale", stale);
        // Written only where it changes: a live region is read aloud.
        const text = stale ? `${note.dataset.stale} ${ago(seconds)}` : note.dataset.fresh;
        if (note.textContent !== text) note.textContent = text;
    };

    const ago = (seconds) => {
        const format = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { style: "short" });
        for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
            if (Math.abs(seconds) >= 2 * size) return format.format(-Math.round(seconds / size), unit);
        }
        return format.format(-seconds, "second");
    };

    /* The exact time stays in the title. */
    const age = () => {
        for (const time of part.querySelectorAll("time[datetime]")) {
            time.textContent = ago(Math.round((Date.now() + skew - Date.parse(time.dateTime)) / 1000));
        }
    };

    const ask = async () => {
        if (document.hidden || asking) return;
        asking = true;
        try {
            const response = await fetch(root.dataset.live, {
                headers: etag ? { "If-None-Match": etag } : {},
                cache: "no-store",
                credentials: "same-origin",
                redirect: "error",
                signal: AbortSignal.timeout(2 * pause),
            });
            if (response.status === 200) {
                const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
                // What is focused is focused again, by its place: links come and go.
                const links = [...part.querySelectorAll("a")];
                const focused = links.findIndex((link) => link === document.activeElement);
                const href = focused < 0 ? null : links[focused].getAttribute("href");
                part.replaceChildren(...parsed.body.childNodes);
                if (href) part.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus();
                etag = response.headers.get("ETag") || "";
            }
            if (response.status === 200 || response.status === 304) answered = Date.now();
        } catch {
            // Away, or signed out: the note says how old the page is.
        } finally {
            asking = false;
        }
    };

    age();
    show();
    setInterval(ask, pause);
    setInterval(() => { age(); show(); }, 1000);
    document.addEventListener("visibilitychange", ask);
})();
