// The keys of the pages: what an element's aria-keyshortcuts names, one letter presses, follows or brings into focus.
//
// Everything here can be done without it. Keys rest while somebody types, and for whoever turned them off in the help
// (WCAG 2.1.4). In a list j and k walk, and the keys of the bar act on the thread in focus when none is ticked.
"use strict";
(() => {
  const KEPT = "gateway.keys";
  const dialog = document.getElementById("keys");
  const at = (selector, from) => (from || document).querySelector(selector);
  let on = true;
  try { on = localStorage.getItem(KEPT) !== "off"; } catch { /* a browser that keeps nothing */ }

  const rows = () => [...document.querySelectorAll("[data-rows] > li")];
  const current = () => document.activeElement.closest?.("[data-rows] > li") || null;

  function walk(step) {
    const all = rows();
    if (!all.length) return false;
    const here = all.indexOf(current());
    const next = here < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + step, 0), all.length - 1);
    at("a", all[next]).focus();
    all[next].scrollIntoView({ block: "nearest" });
    return true;
  }

  function tick(row) {
    const box = at("input[type=checkbox]", row);
    if (box) box.checked = !box.checked;
    return Boolean(box);
  }

  function show(element) {
    for (let fold = element.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    element.scrollIntoView({ block: "nearest" });
    element.focus();
  }

  function use(element) {
    const form = element.form;
    if (form && form.id === "bulk" && element.type === "submit" && !at("[data-rows] :checked")) {
      const row = current() || rows()[0];
      if (!row || !tick(row)) return false;
    }
    if (element.matches("summary")) {
      element.parentElement.open = true;
      (at("input:not([type=hidden]), textarea, select", element.parentElement) || element).focus();
    } else if (element.matches("a, button, input[type=submit]")) element.click();
    else show(element);
    return true;
  }

  function act(key) {
    if (key === "?") return dialog ? (dialog.open ? dialog.close() : dialog.showModal(), true) : false;
    if (!on) return false;
    if (key === "j" || key === "k") return walk(key === "j" ? 1 : -1);
    if (key === "x") { const row = current(); return row ? tick(row) : false; }
    if (key === "o") { const row = current() || rows()[0]; return row ? (at("a", row).click(), true) : false; }
    const row = current();  // what the row in focus has comes first
    const found = [...(row ? row.querySelectorAll("[aria-keyshortcuts]") : []), ...document.querySelectorAll("[aria-keyshortcuts]")]
      .find(one => one.getAttribute("aria-keyshortcuts").split(" ").includes(key));
    return found ? use(found) : false;
  }

  document.addEventListener("keydown", event => {
    const place = event.target;
    if (event.ctrlKey && event.key === "Enter" && place.form && place.matches("textarea")) {
      place.form.requestSubmit();
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = place.matches("textarea, select, [contenteditable]") ||
      (place.matches("input") && !["checkbox", "radio", "submit", "button"].includes(place.type));
    if (typing) {
      if (event.key === "Escape") place.blur();
      return;
    }
    if (dialog?.open && event.key !== "?") return;
    if (act(event.key)) event.preventDefault();
  });

  const opener = document.getElementById("keys-open");
  if (dialog && opener) {
    opener.hidden = false;
    opener.addEventListener("click", () => dialog.showModal());
    const wanted = at("input[name=keys]", dialog);
    wanted.checked = on;
    wanted.addEventListener("change", () => {
      on = wanted.checked;
      try { localStorage.setItem(KEPT, on ? "on" : "off"); } catch { /* then it holds for this page */ }
    });
  }

  // a canned answer goes where the cursor is
  document.addEventListener("change", event => {
    const chosen = event.target;
    if (!chosen.matches("select[data-into]") || !chosen.value) return;
    const text = document.getElementById(chosen.dataset.into);
    text.setRangeText(chosen.selectedOptions[0].dataset.text, text.selectionStart, text.selectionEnd, "end");
    chosen.value = "";
    text.focus();
  });

  // all of a list at once
  document.addEventListener("change", event => {
    if (!event.target.matches("[data-all]")) return;
    for (const row of rows()) { const box = at("input[type=checkbox]", row); if (box) box.checked = event.target.checked; }
  });

  // an offer that ends by itself
  for (const bar of document.querySelectorAll("[data-seconds]")) {
    setTimeout(() => { if (!bar.contains(document.activeElement)) bar.remove(); }, Number(bar.dataset.seconds) * 1000);
  }
})();
