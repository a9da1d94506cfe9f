// A form that opens over the page that it was asked for from: what htmx puts into #sheet is shown as a dialog.
//
// Without this the same links lead to the same forms as pages. Selects send their form; a preview follows what is chosen.
"use strict";
(() => {
  const sheet = document.getElementById("sheet");

  if (sheet) {
    document.addEventListener("htmx:afterSwap", event => {
      if (event.detail.target !== sheet || sheet.open) return;
      sheet.showModal();
      (sheet.querySelector("[autofocus]") || sheet).focus();
    });
    document.addEventListener("htmx:beforeSwap", event => {  // why it cannot be sent is shown too
      if (event.detail.target === sheet && event.detail.xhr.status === 409) event.detail.shouldSwap = true;
    });
    document.addEventListener("htmx:responseError", event => {  // nobody is logged in any more, say: as a page
      const asked = event.detail.elt;
      if (event.detail.target === sheet && event.detail.xhr.status !== 409) location.assign(asked.href);
    });
    document.addEventListener("htmx:sendError", event => {
      if (event.detail.target === sheet) location.assign(event.detail.elt.href);
    });
    sheet.addEventListener("close", () => sheet.replaceChildren());
    sheet.addEventListener("click", event => { if (event.target === sheet) sheet.close(); });  // beside it
  }

  document.addEventListener("change", event => {
    const changed = event.target;
    if (changed.matches("[data-send]")) changed.form.requestSubmit();
    if (changed.matches("[data-preview]")) changed.form.requestSubmit(changed.form.querySelector("[data-previews]"));
  });
})();
