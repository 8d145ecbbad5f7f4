// Fill in the blank: the pieces that a masked language model expects.

import { FILL } from "./examples.js";
import { element, exampleButtons, put, runOnEnter } from "./elements.js";
import { share } from "./numbers.js";

const TOP = 5;
const BLANK = /_{2,}|\[MASK\]|<mask>/giu;

export function setUpFill(panel, section) {
  const text = section.querySelector("textarea");
  runOnEnter(text);
  exampleButtons(section.querySelector(".examples"), FILL, (example) => {
    put(text, example);
    text.form.requestSubmit();
  });
  put(text, FILL[0]);
  section.querySelector(".blank").addEventListener("click", () => {
    text.setRangeText("___", text.selectionStart, text.selectionEnd, "end");
    text.focus();
  });
  panel.answers("fill", () => question(text.value), (answer, asked) => show(panel.result, answer, asked, text.lang));
}

function question(text) {
  if (!text.match(BLANK)) throw new Error("there is no blank in the sentence: write ___ where a word is missing");
  return { text, top: TOP };
}

function show(place, { answers }, { text }, language) {
  const parts = text.split(BLANK);
  const sentence = element("p", { className: "sentence", dir: "auto" });
  if (language) sentence.lang = language;
  parts.forEach((part, index) => {
    sentence.append(part);
    if (index < answers.length) sentence.append(element("strong", {}, bare(answers[index][0].piece)));
  });
  const lists = answers.map((answer, index) => {
    const list = element("ol", { className: "pieces" }, ...answer.map(entry));
    list.setAttribute("aria-label", answers.length > 1 ? `Blank ${index + 1}` : "Most likely");
    return list;
  });
  place.replaceChildren(sentence, element("div", { className: "lists" }, ...lists));
  return `Most likely: ${answers.map(([first]) => `${bare(first.piece)} (${share(first.score)})`).join(", ")}`;
}

function entry({ id, piece, score }) {
  const bar = element("span", { className: "bar" });
  bar.setAttribute("aria-hidden", "true");
  bar.style.setProperty("--share", score);
  const line = element("li", {}, element("bdi", {}, piece), bar, element("span", { className: "number" }, share(score)));
  line.dataset.id = id;
  line.dataset.score = score;
  return line;
}

// A piece that goes on with a word is shown so in the list; in the sentence it is only letters.
function bare(piece) {
  return piece.replace(/^##/, "");
}
