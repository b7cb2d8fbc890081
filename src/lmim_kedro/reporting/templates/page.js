// Sorts tables, enlarges figures and filters readings. Without it the page shows all of that, in one order and size.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const made = (name, properties) => Object.assign(document.createElement(name), properties);

  // A cell's number or text; what is empty comes last, whichever way the others are sorted.
  const keyOf = row => place => {
    const cell = row.cells[place], text = (cell.dataset.sort ?? cell.textContent).trim().replace(/,(?=\d{3})/g, "");
    if (text === "" || text === "–") return null;
    return /^[+\-−]?[\d.]/.test(text) ? parseFloat(text.replace("−", "-")) : text.toLowerCase();
  };

  function sort(table, heads, place) {
    const before = heads[place].getAttribute("aria-sort"), first = table.querySelector("tbody tr:not(.group)");
    const down = before ? before === "ascending" : typeof keyOf(first)(place) === "number";
    heads.forEach(head => head.removeAttribute("aria-sort"));
    heads[place].setAttribute("aria-sort", down ? "descending" : "ascending");
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter(row => !row.matches(".group, .sum"));
      const keyed = rows.map(row => [keyOf(row)(place), row]);
      keyed.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        return down ? -order : order;
      });
      body.append(...keyed.map(([, row]) => row), ...all("tr.sum", body));
    }
  }

  for (const table of all("table")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const button = made("button", {type: "button", title: "Sort by this column"});
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, heads, place));
    });
  }

  // Only tables that are wider than the page say so.
  const wide = new ResizeObserver(entries => entries.forEach(({target}) => {
    const scrolls = target.scrollWidth > target.clientWidth + 1;
    target.classList.toggle("scrolls", scrolls);
    target.toggleAttribute("tabindex", scrolls);  // whoever has no mouse scrolls with the arrow keys
    if (scrolls) target.tabIndex = 0;
  }));
  all(".wide").forEach(each => wide.observe(each));

  const dialog = made("dialog", {className: "enlarged"}), shown = made("img", {});
  const close = made("button", {type: "button", textContent: "Close", className: "close"});
  dialog.append(close, shown);
  document.body.append(dialog);
  dialog.addEventListener("click", event => { if (event.target !== shown) dialog.close(); });
  for (const image of all("img.drawn, .strip img, img.sheet")) {
    const button = made("button", {type: "button", className: "enlarge", title: "Enlarge"});
    const whole = image.parentElement.matches("picture") ? image.parentElement : image;
    whole.replaceWith(button);
    button.append(whole);
    button.addEventListener("click", () => {
      shown.src = image.currentSrc;
      shown.alt = image.alt;
      shown.className = image.matches(".plate, .photo, .sheet") ? "plate" : "";
      dialog.showModal();
    });
  }

  const form = document.getElementById("filter");
  if (!form) return;
  const readings = all(".reading"), groups = all(".reading-group"), count = form.querySelector("output");
  function filter() {
    const {kind, length, source} = Object.fromEntries(new FormData(form));
    const [least, most] = length ? length.split("-").map(Number) : [0, Infinity];
    for (const reading of readings) {
      const own = reading.dataset, size = Number(own.length);
      reading.hidden = (kind && own.kind !== kind) || (source && own.source !== source) || size < least || size > most;
    }
    groups.forEach(group => { group.hidden = !group.querySelector(".reading:not([hidden])"); });
    count.textContent = `${readings.filter(reading => !reading.hidden).length} of ${readings.length} readings`;
  }
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
})();
