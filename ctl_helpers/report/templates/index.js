"use strict";
for (const table of document.querySelectorAll("details table")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const number = text => parseFloat(text.replace("<", "").replace("–", "-"));
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = head.classList.contains("right");
      const value = row => row.cells[column].textContent.trim();
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (!x || !y) return !x - !y;
        const order = numeric ? number(x) - number(y) : x.localeCompare(y);
        return down === numeric ? -order : order;
      });
      body.append(...rows);
    });
  });
  if (rows.length < 8) continue;
  const filter = document.createElement("input");
  filter.className = "filter";
  filter.type = "search";
  filter.placeholder = "Filter rows";
  filter.setAttribute("aria-label", "Filter rows");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
  });
  table.parentElement.before(filter);
}
const large = document.getElementById("large");
for (const link of document.querySelectorAll("a.enlarge")) {
  link.addEventListener("click", event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !large.showModal) return;
    event.preventDefault();
    const small = link.querySelector("img"), picture = large.querySelector("img");
    picture.src = link.href;
    picture.alt = small.alt;
    large.querySelector("p").textContent = link.nextElementSibling.textContent;
    large.showModal();
  });
}
large.addEventListener("click", () => large.close());
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
