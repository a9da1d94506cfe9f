// Files beside an answer: how far they are while htmx sends them, and a word beforehand when they are too much.
//
// Everything here can be done without it: the form goes by itself, and what is too much is refused in words.
"use strict";
(() => {
  const form = event => event.target.closest?.("form[data-files]");

  function tooMuch(of) {
    const files = [...of.querySelector("input[type=file]").files];
    const size = files.reduce((sum, file) => sum + file.size, 0);
    return files.length > Number(of.dataset.many) || size > Number(of.dataset.most);
  }

  document.addEventListener("change", event => {
    const of = form(event);
    if (!of || event.target.type !== "file") return;
    of.querySelector("[data-too-much]").hidden = !tooMuch(of);
  });

  document.addEventListener("htmx:confirm", event => {
    const of = form(event);
    if (of && tooMuch(of)) event.preventDefault();
  });

  document.addEventListener("htmx:xhr:progress", event => {
    const of = form(event);
    if (!of || !event.detail.lengthComputable || !of.querySelector("input[type=file]").files.length) return;
    const bar = of.querySelector("progress");
    bar.hidden = false;
    bar.value = event.detail.loaded / event.detail.total;
  });

  // a refusal is a page too: the form again, with why
  document.addEventListener("htmx:beforeSwap", event => {
    const asked = event.detail.requestConfig?.elt;
    if (asked?.matches("form[data-files]") && [409, 413].includes(event.detail.xhr.status)) event.detail.shouldSwap = true;
  });

  document.addEventListener("htmx:sendError", event => {
    const of = form(event);
    if (of) of.querySelector("progress").hidden = true;
  });
})();
