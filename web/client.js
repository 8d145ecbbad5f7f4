// The page's side of the worker: questions with promises for answers.

export class Engine {
  #worker = null;
  #waiting = new Map();
  #number = 0;

  // progress: called with the number of bytes that are there, while files come.
  ask(action, question, progress = () => {}) {
    this.#worker ??= this.#start();
    const number = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject, progress });
      this.#worker.postMessage({ ...question, number, action });
    });
  }

  #start() {
    const worker = new Worker("engine.js", { type: "module" });
    worker.addEventListener("message", ({ data }) => {
      if (data.blocked) console.error(`blocked by the page's policy: ${data.blocked}`);
      const one = this.#waiting.get(data.number);
      if (!one) return;
      if (data.progress !== undefined) {
        one.progress(data.progress);
        return;
      }
      this.#waiting.delete(data.number);
      if (data.error === undefined) one.resolve(data.result);
      else one.reject(new Error(data.error));
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      worker.terminate();
      this.#worker = null; // the next question starts a new one
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(event.message || "the part of the page that computes could not be started"));
      }
      this.#waiting.clear();
    });
    return worker;
  }
}
