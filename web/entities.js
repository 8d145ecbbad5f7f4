// Entities: the words of a text that a token classifier tags, in colours and with the names of their types.

import { ENTITIES } from "./examples.js";
import { element, exampleButtons, put, runOnEnter } from "./elements.js";
import { share } from "./numbers.js";

const COLOURS = 6;

export function setUpEntities(panel, section) {
  const text = section.querySelector("textarea");
  runOnEnter(text);
  exampleButtons(section.querySelector(".examples"), ENTITIES, (example) => {
    put(text, example);
    text.form.requestSubmit();
  });
  put(text, ENTITIES[0]);
  panel.answers("entities", () => question(text.value), (answer, asked) => show(panel.result, answer, asked, text.lang));
}

function question(text) {
  if (!text.trim()) throw new Error("there is no text yet");
  return { text };
}

function show(place, { entities, tagged }, { text }, language) {
  const types = [...new Set(entities.map(({ type }) => type))].sort();
  const line = element("p", { className: "sentence", dir: "auto" });
  if (language) line.lang = language;
  let at = 0;
  for (const { type, start, end, score } of entities) {
    // The text is part of the line, which takes its direction from it; the type's name is not.
    const mark = element("mark", { title: `${type}, ${share(score)}` }, text.slice(start, end));
    mark.append(element("small", { dir: "ltr", lang: "en" }, type));
    Object.assign(mark.dataset, { type, start, end, colour: types.indexOf(type) % COLOURS });
    line.append(text.slice(at, start), mark);
    at = end;
  }
  line.append(text.slice(at));
  place.replaceChildren(line);
  place.dataset.tags = JSON.stringify(tagged);
  if (!entities.length) return "No entity found.";
  const named = entities.map(({ type, start, end }) => `${text.slice(start, end)} (${type})`);
  return `${entities.length === 1 ? "1 entity" : `${entities.length} entities`}: ${named.join(", ")}`;
}
