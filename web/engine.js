// The worker that computes: loads the library and the models, and answers what the page asks. All of it comes from the
// page's own origin; what is typed goes nowhere.

import { mergeEntities, splitWords } from "./words.js";

const BLANK = /_{2,}|\[MASK\]|<mask>/giu;
const WAIT = 100; // milliseconds between two reports of progress
const here = (path) => new URL(path, self.location).href;

let library = null; // a promise, as soon as it is wanted
const models = new Map(); // address of the file with the weights: promise of { model, tokenizer }
const sizes = new Map(); // address of every file there is: [bytes, bytes to download]
let listener = null; // of the bytes that come
let lost = null; // why a file did not come, the last time that one did not
let turn = Promise.resolve(); // one question after the other

self.addEventListener("message", ({ data }) => {
  const { number, action } = data;
  const reply = (message) => self.postMessage({ number, ...message });
  turn = turn
    .then(() => actions[action](data, reply))
    .then((result) => reply({ result }))
    .catch((error) => reply({ error: error?.message || String(error) }));
});

self.addEventListener("securitypolicyviolation", (event) => {
  self.postMessage({ blocked: `${event.violatedDirective}: ${event.blockedURI}` });
});

const actions = {
  async load(request, reply) {
    const { manifest, model, precision, threads } = request;
    note(manifest.library.path, manifest.library.files);
    note(`models/${model.id}/`, model.files);
    lost = null;
    const before = performance.now();
    let bytes = 0; // as they are, not as they are packed on the way
    let downloaded = 0;
    let told = 0;
    listener = (more, download) => {
      bytes += more;
      downloaded += download;
      if (performance.now() - told > WAIT) {
        told = performance.now();
        reply({ progress: bytes });
      }
    };
    try {
      const { transformers } = await (library ??= openLibrary(manifest.library, threads).catch((error) => {
        library = null; // the next attempt is a new one
        throw error;
      }));
      const key = keyOf(model, precision);
      if (!models.has(key)) models.set(key, openModel(transformers, model, precision));
      await models.get(key).catch((error) => {
        models.delete(key);
        throw lost ?? error; // transformers.js goes on without a file, and fails later for another reason
      });
    } finally {
      listener = null;
    }
    const { wasm } = (await library).transformers.env.backends.onnx;
    return { milliseconds: performance.now() - before, downloaded, threads: wasm.numThreads || 1 };
  },

  async fill({ model, precision, text, top }) {
    const opened = await models.get(keyOf(model, precision));
    const { tokenizer } = opened;
    if (!tokenizer.mask_token) throw new Error("this model's tokenizer has no piece for a blank");
    const before = performance.now();
    const inputs = tokenizer(text.replace(BLANK, () => tokenizer.mask_token));
    const blanks = [];
    inputs.input_ids.data.forEach((id, place) => {
      if (Number(id) === tokenizer.mask_token_id) blanks.push(place);
    });
    if (!blanks.length) throw new Error("there is no blank in the sentence: write ___ where a word is missing");
    const { logits } = await run(opened, inputs);
    const pieces = logits.dims[2];
    const answers = blanks.map((place) => best(logits.data.subarray(place * pieces, (place + 1) * pieces), top));
    const milliseconds = performance.now() - before;
    for (const { id } of answers.flat()) {
      if (id >= tokenizer.get_vocab().size) throw new Error("the model's output does not belong to this tokenizer");
    }
    const named = answers.map((answer) => answer.map((it) => ({ ...it, piece: tokenizer.decode([it.id]).trim() })));
    return { milliseconds, answers: named };
  },

  async entities({ model, precision, text }) {
    const opened = await models.get(keyOf(model, precision));
    const { tokenizer } = opened;
    const before = performance.now();
    // As in training: the words' pieces one after the other, and of each word the first piece has the say.
    const words = [];
    const [front, back] = around(tokenizer);
    const ids = [...front];
    for (const word of splitWords(text)) {
      const pieces = tokenizer.encode(word.text, { add_special_tokens: false });
      if (pieces.length) words.push({ ...word, first: ids.length });
      ids.push(...pieces);
    }
    ids.push(...back);
    if (!words.length) throw new Error("there is no text yet");
    const { logits } = await run(opened, await asInputs(ids));
    const labels = logits.dims[2];
    const found = words.map(({ first }) => best(logits.data.subarray(first * labels, (first + 1) * labels), 1)[0]);
    const names = opened.model.config.id2label;
    const tags = found.map(({ id }) => names[id] ?? `LABEL_${id}`);
    const entities = mergeEntities(words, tags, found.map(({ score }) => score));
    const tagged = words.map(({ text: word }, index) => ({ word, tag: tags[index] }));
    return { milliseconds: performance.now() - before, entities, tagged };
  },

  async similarity({ model, precision, texts }) {
    const opened = await models.get(keyOf(model, precision));
    const times = [];
    const vectors = [];
    for (const text of texts) {
      const before = performance.now();
      const outputs = await run(opened, opened.tokenizer(text));
      vectors.push(unit(outputs.sentence_embedding?.data ?? mean(outputs.last_hidden_state)));
      times.push(performance.now() - before);
    }
    const matrix = vectors.map((one) => vectors.map((other) => one.reduce((sum, x, i) => sum + x * other[i], 0)));
    return { times, matrix };
  },
};

// --- loading ---

function keyOf(model, precision) {
  return `${model.id}/${model.precisions[precision]}`;
}

function note(folder, files) {
  for (const [name, found] of Object.entries(files)) sizes.set(here(folder + name), found);
}

async function openLibrary({ path, files }, threads) {
  // All three are fetched by name first, so that their bytes are counted; the import then finds them in the browser.
  const names = Object.keys(files);
  const fetched = await Promise.all(names.map((name) => counted(here(path + name)).then((answer) => answer.arrayBuffer())));
  const transformers = await import(here(`${path}transformers.js`));
  const { env } = transformers;
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = new URL("models/", self.location).pathname; // a whole address would count as a remote one
  env.useBrowserCache = false; // the service worker keeps the files
  env.useWasmCache = false;
  env.fetch = (address) => counted(here(String(address)));
  env.logLevel = transformers.LogLevel?.ERROR ?? 40;
  const { wasm } = env.backends.onnx;
  wasm.wasmPaths = { wasm: here(`${path}onnxruntime.wasm`) };
  wasm.wasmBinary = fetched[names.indexOf("onnxruntime.wasm")];
  if (threads) wasm.numThreads = threads;
  return { transformers };
}

async function openModel(transformers, model, precision) {
  const options = { dtype: precision === "int8" ? "q8" : "fp32", device: "wasm" };
  const [tokenizer, opened] = await Promise.all([
    transformers.AutoTokenizer.from_pretrained(model.id),
    // The plain class: whatever the graph puts out comes back by its name.
    transformers.AutoModel.from_pretrained(model.id, options),
  ]);
  // The first call of all takes many times as long as the others; it belongs to loading.
  await opened(tokenizer("a"));
  return { tokenizer, model: opened };
}

// A file of the page's own, its bytes counted on the way; one that the server does not have is not asked for.
async function counted(address) {
  if (!sizes.has(address)) return new Response(null, { status: 404 });
  try {
    return await received(address, ...sizes.get(address));
  } catch (error) {
    lost = error;
    throw error;
  }
}

async function received(address, size, download) {
  const name = address.split("/").pop();
  const answer = await fetch(address).catch(() => {
    throw new Error(`the server does not answer, and ${name} is not kept in this browser`);
  });
  if (!answer.ok) throw new Error(`${name}: ${(await answer.text()).trim() || answer.status}`);
  const content = new Uint8Array(size);
  const reader = answer.body.getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length > size) throw new Error(`${name}: longer than the server said`);
    content.set(part.value, at);
    at += part.value.length;
    listener?.(part.value.length, 0);
  }
  if (at < size) throw new Error(`${name}: broken off; try again`);
  if (!isStored(answer, address)) listener?.(0, download);
  const headers = { "Content-Type": answer.headers.get("Content-Type") ?? "", "Content-Length": String(size) };
  return new Response(content, { headers });
}

function isStored(answer, address) {
  if (answer.headers.has("X-Unibert-Store")) return true;
  // Without a service worker the browser's own cache may have had it.
  const entry = self.caches ? null : performance.getEntriesByName(address).at(-1);
  return entry?.transferSize === 0 && entry.decodedBodySize > 0;
}

// --- computing ---

async function run({ model, tokenizer }, inputs) {
  const length = inputs.input_ids.dims[1];
  const { config } = model;
  // RoBERTa counts positions from behind the padding piece's number.
  const reserved = /roberta|camembert/.test(config.model_type) ? (config.pad_token_id ?? 1) + 1 : 0;
  const longest = Math.min(tokenizer.model_max_length, (config.max_position_embeddings ?? Infinity) - reserved);
  if (length > longest) throw new Error(`the text is too long: ${length} pieces, the model reads ${longest}`);
  return model(inputs);
}

async function asInputs(ids) {
  const { Tensor } = (await library).transformers;
  const shape = [1, ids.length];
  return {
    input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), shape),
    attention_mask: new Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape),
  };
}

// The special pieces that a tokenizer puts before and behind a text.
function around(tokenizer) {
  const bare = tokenizer.encode("a", { add_special_tokens: false });
  const whole = tokenizer.encode("a");
  const front = whole.indexOf(bare[0]);
  return [whole.slice(0, front), whole.slice(front + bare.length)];
}

// The highest logits with their shares of the softmax over all.
function best(logits, top) {
  let highest = -Infinity;
  for (const logit of logits) highest = Math.max(highest, logit);
  let sum = 0;
  const found = []; // ids, highest first
  logits.forEach((logit, id) => {
    sum += Math.exp(logit - highest);
    if (found.length === top && !(logit > logits[found[top - 1]])) return;
    let place = found.length;
    while (place && logit > logits[found[place - 1]]) place--;
    found.splice(place, 0, id);
    if (found.length > top) found.pop();
  });
  if (!Number.isFinite(highest)) throw new Error("the model's output is not finite");
  return found.map((id) => ({ id, score: Math.exp(logits[id] - highest) / sum }));
}

// The mean over the pieces of one text, which has no padding.
function mean({ data, dims: [, length, width] }) {
  const sum = new Float64Array(width);
  for (let piece = 0; piece < length; piece++) for (let i = 0; i < width; i++) sum[i] += data[piece * width + i];
  return sum;
}

function unit(vector) {
  const norm = Math.hypot(...vector) || 1;
  return Float64Array.from(vector, (x) => x / norm);
}
