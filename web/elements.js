// Building parts of the page. Text is only ever set as text.

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// A row of buttons, each of which brings an example.
export function exampleButtons(place, examples, use) {
  for (const example of examples) {
    const button = element("button", { type: "button", lang: example.code, dir: "auto" }, example.name);
    button.addEventListener("click", () => use(example));
    place.append(button);
  }
}

// A text in its language; it is nobody's language any more as soon as somebody writes.
export function put(field, { code, text }) {
  field.value = text;
  field.lang = code;
  field.addEventListener("input", () => field.removeAttribute("lang"), { once: true });
}

// Enter runs, Shift and Enter makes a new line; an Enter that only ends the choice of a Chinese character does neither.
export function runOnEnter(field) {
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    field.form.requestSubmit();
  });
}
