// What the three parts of the page have in common: the choice of a model, loading it, running it, and what that cost.

import { bytes, duration, median } from "./numbers.js";
import { neededFiles, total } from "./manifest.js";
import { element } from "./elements.js";

const REMEMBERED = 20; // calls of which the median is shown
const THREADS = Number(new URLSearchParams(location.search).get("threads")) || 0; // 0: as many as the library likes

export class Panel {
  #section;
  #engine;
  #manifest;
  #models;
  #busy = false;
  #loaded = new Map(); // model and precision: { milliseconds, downloaded, threads, times }
  #parts = {};
  #loadedOne;

  // `whenLoaded(model, precision)` is called after a model has been loaded; it tells whether it is kept.
  constructor(section, manifest, engine, whenLoaded) {
    this.#section = section;
    this.#engine = engine;
    this.#manifest = manifest;
    this.#loadedOne = whenLoaded;
    this.#models = manifest.models.filter(({ ability }) => ability === section.id);
    this.available = this.#models.length > 0;
    section.querySelector(".missing").hidden = this.available;
    section.querySelector("form").hidden = !this.available;
    if (this.available) this.#build();
  }

  get result() {
    return this.#parts.result;
  }

  // Runs when the form is sent: `question` makes what the engine is asked (an Error's message where it cannot), `show`
  // puts the answer on the page and returns what is said about it.
  answers(action, question, show) {
    const form = this.#section.querySelector("form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#work(action, question, show, 1);
    });
    this.#parts.repeat?.addEventListener("click", () => this.#work(action, question, show, REMEMBERED));
  }

  #build() {
    const form = this.#section.querySelector("form");
    form.append(document.querySelector("#controls").content.cloneNode(true));
    this.#section.append(document.querySelector("#outcome").content.cloneNode(true));
    for (const part of this.#section.querySelectorAll("[data-part]")) this.#parts[part.dataset.part] = part;
    const { model, precisions, run } = this.#parts;
    run.textContent = this.#section.dataset.verb;
    this.#models.forEach(({ name }, index) => model.append(element("option", { value: String(index) }, name)));
    model.closest("label").hidden = this.#models.length < 2;
    model.addEventListener("change", () => this.#offerPrecisions());
    precisions.addEventListener("change", () => this.#tellCosts());
    this.#offerPrecisions();
  }

  #offerPrecisions() {
    const { precisions } = this.#parts;
    const names = Object.keys(this.#model.precisions);
    precisions.querySelectorAll("label").forEach((label) => label.remove());
    names.forEach((name, index) => {
      const choice = element("input", { type: "radio", name: `${this.#section.id}-precision`, value: name, checked: !index });
      precisions.append(element("label", {}, choice, element("span", {}, name)));
    });
    precisions.hidden = names.length < 2;
    this.#tellCosts();
  }

  get #model() {
    return this.#models[Number(this.#parts.model.value)];
  }

  get #precision() {
    return this.#parts.precisions.querySelector("input:checked").value;
  }

  async #work(action, question, show, calls) {
    if (this.#busy) return;
    const { run, repeat, status, progress } = this.#parts;
    let asked;
    try {
      asked = question();
    } catch (error) {
      this.#refuse(error);
      return;
    }
    // Not `disabled`: a button that is would lose the keyboard's focus.
    const buttons = [run, repeat];
    const busy = (is) => {
      this.#busy = is;
      this.#section.setAttribute("aria-busy", String(is));
      buttons.forEach((button) => button.setAttribute("aria-disabled", String(is)));
    };
    busy(true);
    const chosen = { model: this.#model, precision: this.#precision };
    try {
      const costs = await this.#load(chosen);
      status.textContent = calls > 1 ? `Timing ${calls} calls …` : "Computing …";
      let answer;
      for (let call = 1; call <= calls; call++) {
        answer = await this.#engine.ask(action, { ...chosen, ...asked });
        costs.times = [...costs.times, ...(answer.times ?? [answer.milliseconds])].slice(-REMEMBERED);
      }
      this.#say(show(answer, asked, chosen));
    } catch (error) {
      this.#refuse(error);
    } finally {
      progress.hidden = true;
      busy(false);
      this.#tellCosts();
    }
  }

  /** Says what went wrong; the answer to an earlier question would be taken for that to this one. */
  #refuse(error) {
    this.#parts.result.replaceChildren();
    this.#say(error.message, true);
  }

  async #load(chosen) {
    const key = `${chosen.model.id} ${chosen.precision}`;
    const found = this.#loaded.get(key);
    if (found) return found;
    const { status, progress } = this.#parts;
    const [size] = total(neededFiles(this.#manifest, chosen.model, chosen.precision));
    status.textContent = `Loading ${chosen.model.name} …`;
    progress.hidden = false;
    progress.max = size;
    progress.value = 0;
    const question = { ...chosen, manifest: this.#manifest, threads: THREADS };
    const costs = await this.#engine.ask("load", question, (there) => {
      progress.value = Math.min(size, there);
      progress.textContent = `${bytes(there)} of ${bytes(size)}`;
    });
    this.#loaded.set(key, { ...costs, times: [] });
    this.#loadedOne(chosen.model, chosen.precision);
    return this.#loaded.get(key);
  }

  #say(text, isProblem = false) {
    const { status } = this.#parts;
    status.textContent = isProblem ? `Not done: ${text}.` : text;
    status.classList.toggle("problem", isProblem);
  }

  #tellCosts() {
    const { costs } = this.#parts;
    const model = this.#model;
    const needed = neededFiles(this.#manifest, model, this.#precision);
    const weights = needed[`models/${model.id}/${model.precisions[this.#precision]}`][0];
    const found = this.#loaded.get(`${model.id} ${this.#precision}`);
    const lines = [["Model", model.name, `${bytes(weights)} in ${this.#precision}`]];
    if (found) {
      lines.push(["Downloaded", found.downloaded ? bytes(found.downloaded) : "nothing: it was in this browser"]);
      lines.push(["Load time", duration(found.milliseconds)]);
      if (found.times.length) {
        const calls = found.times.length === 1 ? "1 call" : `the last ${found.times.length} calls`;
        const threads = found.threads === 1 ? "1 thread" : `${found.threads} threads`;
        lines.push(["Per call", `${duration(median(found.times))}`, `median of ${calls}, ${threads}`]);
      }
    } else {
      lines.push(["Download", `up to ${bytes(total(needed)[1])}`, "with the library, once for all parts of the page"]);
    }
    costs.replaceChildren(
      ...lines.map(([name, value, hint]) =>
        element("div", {}, element("dt", {}, name), element("dd", {}, value, ...(hint ? [element("small", {}, hint)] : []))),
      ),
    );
  }
}
