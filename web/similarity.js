// Similar sentences: the cosines of their embeddings, all against all, in any languages.

import { SENTENCES } from "./examples.js";
import { element, put } from "./elements.js";

const MOST = 10;

export function setUpSimilarity(panel, section) {
  const list = section.querySelector(".sentences");
  const more = section.querySelector(".more");
  const rows = () => [...list.children];

  const renumber = () => {
    rows().forEach((row, index) => {
      row.querySelector("input").setAttribute("aria-label", `Sentence ${index + 1}`);
      row.querySelector("button").setAttribute("aria-label", `Remove sentence ${index + 1}`);
      row.querySelector("button").hidden = rows().length <= 2;
    });
    more.hidden = rows().length >= MOST;
  };

  const add = (example = { code: "", text: "" }) => {
    const field = element("input", { type: "text", dir: "auto", autocomplete: "off", spellcheck: false });
    const remove = element("button", { type: "button", className: "remove" }, "×");
    const row = element("li", {}, field, remove);
    put(field, example);
    remove.addEventListener("click", () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      renumber();
      next.querySelector("input").focus();
    });
    list.append(row);
    renumber();
    return field;
  };

  SENTENCES.forEach(add);
  more.addEventListener("click", () => add().focus());
  const question = () => {
    const texts = rows().map((row) => row.querySelector("input").value.trim());
    const empty = texts.findIndex((text) => !text);
    if (empty >= 0) throw new Error(`sentence ${empty + 1} is empty: write one or remove the line`);
    return { texts };
  };
  panel.answers("similarity", question, (answer, asked) => show(panel.result, answer, asked));
}

function show(place, { matrix }, { texts }) {
  const pairs = matrix.flatMap((row, i) => row.slice(0, i).map((value, j) => ({ value, i: j, j: i })));
  const lowest = Math.min(...pairs.map(({ value }) => value));
  const highest = Math.max(...pairs.map(({ value }) => value));
  const closest = pairs.find(({ value }) => value === highest);
  const head = element("tr", {}, element("td", {}), ...texts.map((_, index) => heading("col", index)));
  const body = matrix.map((row, i) => {
    const nearest = Math.max(...row.filter((_, j) => j !== i));
    const cells = row.map((value, j) => {
      const cell = element("td", { className: "number" }, value.toFixed(2));
      cell.dataset.value = value;
      if (i === j) cell.classList.add("self");
      else {
        cell.style.setProperty("--heat", highest > lowest ? (value - lowest) / (highest - lowest) : 0);
        if (value === nearest) cell.classList.add("nearest");
      }
      return cell;
    });
    const name = heading("row", i);
    name.append(element("bdi", { className: "text", title: texts[i] }, texts[i]));
    return element("tr", {}, name, ...cells);
  });
  const caption = element("caption", {}, "Cosine of the sentences' embeddings; of each row the highest in bold");
  const table = element("table", { className: "matrix" }, caption, element("thead", {}, head), element("tbody", {}, ...body));
  const frame = element("div", { className: "scroll", tabIndex: 0, role: "region" }, table);
  frame.setAttribute("aria-label", "Similarity of the sentences");
  const scale = element("p", { className: "scale" }, `${lowest.toFixed(2)} `, element("span", {}), ` ${highest.toFixed(2)}`);
  scale.setAttribute("aria-hidden", "true");
  place.replaceChildren(frame, scale);
  return `Most similar: ${closest.i + 1} and ${closest.j + 1} (${closest.value.toFixed(2)})`;
}

function heading(scope, index) {
  return element("th", { scope }, element("span", { className: "index" }, String(index + 1)));
}
