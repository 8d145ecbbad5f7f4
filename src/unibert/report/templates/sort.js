// Headings become buttons that sort their table; without scripts the tables are complete and in their first order.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numeric = heading.dataset.kind === "number";
      const now = heading.getAttribute("aria-sort");
      // Numbers are asked for from the top, names from A.
      const ascending = now ? now === "descending" : !numeric;
      const value = (row) => row.cells[column].dataset.sort;
      const rows = [...body.rows].sort((first, second) => {
        const [a, b] = [value(first), value(second)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const order = numeric ? Number(a) - Number(b) : a.localeCompare(b);
        return ascending ? order : -order;
      });
      body.append(...rows);
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    });
  });
}
