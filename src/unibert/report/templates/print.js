// Paper cannot be unfolded, nor moved sideways: what is folded is opened, and a table wider than a page is cut.
"use strict";
{
  const MILLIMETRE = 96 / 25.4;
  const PAGE = 184 * MILLIMETRE; // of text on A4, the narrower of the two usual papers
  const SENTENCE = 40 * MILLIMETRE; // a column of longer texts is not squeezed below this
  let undo = [];

  // How narrow each column can be without breaking words or numbers.
  const narrowest = (table) => {
    table.classList.add("measured");
    const found = [...table.tHead.rows[0].cells].map((cell) => cell.getBoundingClientRect().width);
    table.classList.remove("measured");
    return found;
  };

  // The width that a column is given, at least.
  const wanted = (table, width, column) => {
    const longest = Math.max(...[...table.tBodies[0].rows].map((row) => row.cells[column].textContent.length));
    return Math.max(Math.min(width, SENTENCE), Math.min(SENTENCE, longest * 4.5));
  };

  // The columns of every part; the columns that name the row are in all of them.
  const parts = (table, needed) => {
    const names = table.tBodies[0].rows[0].querySelectorAll("th").length;
    const sum = (some) => some.reduce((total, one) => total + one, 0);
    const room = PAGE - sum(needed.slice(0, names));
    const others = needed.slice(names);
    const fair = sum(others) / Math.max(1, Math.ceil(sum(others) / room)); // parts of about the same width
    const found = [[]];
    let used = 0;
    others.forEach((width, position) => {
      if (found.at(-1).length && (used + width > room || used + width / 2 > fair)) {
        found.push([]);
        used = 0;
      }
      used += width;
      found.at(-1).push(names + position);
    });
    return found.map((columns) => [...Array(names).keys(), ...columns]);
  };

  const cut = (table) => {
    if (!table.tBodies[0]?.rows.length) return;
    const least = narrowest(table);
    const found = parts(table, least.map((width, column) => wanted(table, width, column)));
    if (found.length < 2 && Math.max(...least) <= SENTENCE) return;
    const pieces = found.map((columns, number) => {
      const piece = table.cloneNode(true);
      piece.removeAttribute("id");
      piece.querySelectorAll("[id]").forEach((part) => part.removeAttribute("id"));
      if (found.length > 1) piece.caption.append(` (part ${number + 1} of ${found.length})`);
      for (const row of piece.rows) {
        // A list of forty languages, joined by signs, is one word to the browser.
        [...row.cells].forEach((cell, column) => cell.classList.toggle("breakable", least[column] > SENTENCE));
        row.replaceChildren(...columns.map((column) => row.cells[column]));
      }
      return piece;
    });
    table.after(...pieces);
    table.hidden = true;
    undo.push(() => {
      pieces.forEach((piece) => piece.remove());
      table.hidden = false;
    });
  };

  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      undo.push(() => (part.open = false));
    }
    // Chromium repeats a table's headings on every page, but not the buttons in them.
    for (const button of document.querySelectorAll("thead th button")) {
      const text = document.createTextNode(button.textContent);
      button.replaceWith(text);
      undo.push(() => text.replaceWith(button));
    }
    document.querySelectorAll("main table").forEach(cut);
  });
  addEventListener("afterprint", () => {
    undo.reverse().forEach((step) => step());
    undo = [];
  });
}
