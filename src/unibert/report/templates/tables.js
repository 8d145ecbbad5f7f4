// Tables are sorted by their headings and, where they are long, filtered; without scripts they are complete.
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
  if (body.rows.length >= 10) addFilters(table, body, headings);
}

function addFilters(table, body, headings) {
  // Letters without their marks, so that "turkce" finds "Türkçe".
  const plain = (text) => text.normalize("NFKD").replace(/\p{Mark}/gu, "").toLocaleLowerCase("en");
  const rows = [...body.rows].map((row) => ({ row, text: plain([...row.cells].map((c) => c.textContent).join(" ")) }));
  const box = document.createElement("div");
  box.className = "filters";
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", `Filter: ${table.caption.textContent}`);
  const labelled = (name, control) => {
    const label = document.createElement("label");
    label.append(name, " ", control);
    box.append(label);
    return control;
  };
  const search = labelled("Find", document.createElement("input"));
  search.type = "search";
  search.placeholder = "in any column";
  search.autocomplete = "off";
  // A column of words that come again and again, such as models and settings, is chosen from.
  const choices = [];
  headings.forEach((heading, column) => {
    const values = [...new Set(rows.map(({ row }) => row.cells[column].textContent))];
    if (heading.dataset.kind !== "text" || values.length < 2 || values.length > rows.length / 2) return;
    const select = labelled(heading.textContent, document.createElement("select"));
    select.append(new Option("all", ""), ...values.map((value, number) => new Option(value || "none", number)));
    choices.push((row) => select.value === "" || row.cells[column].textContent === values[Number(select.value)]);
  });
  const told = document.createElement("output");
  box.append(told);
  const show = () => {
    const wanted = plain(search.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, text } of rows) {
      row.hidden = !(wanted.every((word) => text.includes(word)) && choices.every((matches) => matches(row)));
      shown += !row.hidden;
    }
    const all = shown === rows.length;
    told.textContent = all ? `${rows.length} rows` : shown ? `${shown} of ${rows.length} rows` : "No row matches";
    box.toggleAttribute("data-active", !all);
  };
  for (const kind of ["input", "change"]) box.addEventListener(kind, show);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !search.value) return;
    search.value = "";
    show();
  });
  show();
  table.closest(".scroll").before(box);
}
