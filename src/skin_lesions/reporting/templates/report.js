"use strict";
// Optional functions of the report: sorted tables, enlarged figures, hints for scrolling. Without
// this script, all content is still visible.

// Tables: a button in each column heading sorts the rows. Missing values are always last.
for (const head of document.querySelectorAll("thead")) {
  const body = head.parentElement.tBodies[0];
  const headings = Array.from(head.rows[0].cells);
  headings.forEach((heading, column) => {
    if (!("sortable" in heading.dataset)) {
      return;
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numeric = heading.classList.contains("num");
      const before = heading.getAttribute("aria-sort");
      // Numbers begin with the largest, names with the first of the alphabet.
      const first = numeric ? "descending" : "ascending";
      const second = numeric ? "ascending" : "descending";
      const direction = before === first ? second : first;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const rows = Array.from(body.rows);
      rows.sort((a, b) => compare(a.cells[column], b.cells[column], sign, numeric));
      body.append(...rows);
    });
  });
}

function compare(a, b, sign, numeric) {
  if (!numeric) {
    return sign * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
  }
  const hasA = a.dataset.sort !== undefined;
  const hasB = b.dataset.sort !== undefined;
  if (hasA && hasB) {
    return sign * (Number(a.dataset.sort) - Number(b.dataset.sort));
  }
  if (hasA !== hasB) {
    return hasA ? -1 : 1;
  }
  return 0;
}

// Figures: a button shows the figure at full size. Escape, the button and a click beside it close.
const dialog = document.createElement("dialog");
dialog.className = "enlarged";
const close = document.createElement("button");
close.type = "button";
close.className = "close";
close.textContent = "Close";
close.addEventListener("click", () => dialog.close());
const frame = document.createElement("div");
frame.className = "frame";
frame.tabIndex = 0;
dialog.append(close, frame);
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) {
    dialog.close();
  }
});
document.body.append(dialog);
for (const image of document.querySelectorAll("figure img")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "enlarge";
  button.setAttribute("aria-label", `Enlarge the figure: ${image.alt}`);
  image.replaceWith(button);
  button.append(image);
  button.addEventListener("click", () => {
    const copy = image.cloneNode();
    copy.removeAttribute("id");
    frame.replaceChildren(copy);
    frame.setAttribute("aria-label", image.alt);
    frame.setAttribute("role", "region");
    dialog.showModal();
    frame.scrollTo(0, 0);
  });
}

// Wide tables: a hint is visible while a part of the table is outside the page.
const observer = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const area = entry.target;
    area.previousElementSibling.hidden = area.scrollWidth <= area.clientWidth + 1;
  }
});
document.querySelectorAll(".scroll").forEach((area) => observer.observe(area));

// A link to content inside a closed part opens it. Printing opens everything.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) {
    if (part.tagName === "DETAILS") {
      part.open = true;
    }
  }
}
window.addEventListener("hashchange", openTarget);
openTarget();
