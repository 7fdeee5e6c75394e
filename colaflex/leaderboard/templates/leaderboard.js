// Sorting, filtering and opening rows. The page says everything without it.
"use strict";
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));

  // Sorting: within each budget, rows without a value last, equal ones in the order of ranks.
  const keyOf = (row, column, kind) => {
    const cell = row.cells[column];
    const text = kind === "number" ? cell.dataset.sort : cell.textContent.trim().toLowerCase();
    return kind === "number" ? (text === "" ? null : Number(text)) : text;
  };
  const compare = (one, other) => {
    if (typeof one === "string") return one.localeCompare(other);
    return one - other;
  };
  const sort = (table, header, direction) => {
    const column = header.cellIndex;
    const sign = direction === "ascending" ? 1 : -1;
    for (const body of all("tbody.models", table)) {
      const rows = all("tr.line", body).map((row) => ({
        row,
        key: keyOf(row, column, header.dataset.sorts),
        place: Number(row.dataset.place),
      }));
      rows.sort((a, b) => {
        if (a.key === null || b.key === null) {
          return (a.key === null) - (b.key === null) || a.place - b.place;
        }
        return sign * compare(a.key, b.key) || a.place - b.place;
      });
      body.append(...rows.map(({ row }) => row));
    }
    for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
  };

  for (const table of all("table.board")) {
    all("tr.line", table).forEach((row, place) => { row.dataset.place = String(place); });
    for (const header of all("thead th[data-sorts]", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      const first = header.dataset.first === "down" ? "descending" : "ascending";
      const second = first === "descending" ? "ascending" : "descending";
      button.addEventListener("click", () => {
        sort(table, header, header.getAttribute("aria-sort") === first ? second : first);
      });
    }
    table.querySelector("thead th[data-sorts]").setAttribute("aria-sort", "ascending");
  }

  // Filtering: a row stays where it has every part that is asked for.
  const filters = document.querySelector(".filters");
  if (filters) {
    const selects = all("select", filters);
    const lines = all("tr.line").map((row) => ({ row, parts: JSON.parse(row.dataset.filters) }));
    const apply = () => {
      const asked = selects.filter((select) => select.value !== "");
      let shown = 0;
      for (const { row, parts } of lines) {
        // Options carry "=" before the value, so that an empty value is told from "any".
        row.hidden = asked.some((select) => select.value !== `=${parts[select.name]}`);
        shown += row.hidden ? 0 : 1;
      }
      for (const body of all("tbody.models")) {
        body.hidden = all("tr.line", body).every((row) => row.hidden);
      }
      filters.querySelector("output").textContent =
        asked.length ? `${shown} of ${lines.length} rows` : "";
    };
    for (const select of selects) select.addEventListener("change", apply);
    filters.querySelector(".reset").addEventListener("click", () => {
      for (const select of selects) select.value = "";
      apply();
    });
    filters.hidden = false;
    apply();
  }

  // A link to a row opens what stands behind it.
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", open);
  for (const link of all('tr.line a[href^="#"]')) {
    link.addEventListener("click", () => setTimeout(open));
  }
  open();
})();
