// The page: reads what the server offers, and sets up the part for each thing that can be done with it.

import { Engine } from "./client.js";
import { setUpEntities } from "./entities.js";
import { setUpFill } from "./fill.js";
import { readManifest } from "./manifest.js";
import { keepOffline, missingFiles } from "./offline.js";
import { Panel } from "./panel.js";
import { setUpSimilarity } from "./similarity.js";

const PARTS = { fill: setUpFill, entities: setUpEntities, similarity: setUpSimilarity };
const told = document.querySelector("#offline");

async function begin() {
  const kept = await keepOffline(); // first, so that everything that is loaded goes through it
  const manifest = await readManifest();
  if (kept) await tellKept(manifest);
  else told.textContent = notKept();
  const engine = new Engine();
  for (const [name, setUp] of Object.entries(PARTS)) {
    const section = document.getElementById(name);
    const panel = new Panel(section, manifest, engine, (model, precision) => {
      if (kept) tellWhenKept(manifest, model, precision);
    });
    if (panel.available) setUp(panel, section);
  }
  document.documentElement.dataset.ready = "yes";
}

function notKept() {
  if (!isSecureContext) return "Not available offline: browsers keep pages only from https or from this machine itself.";
  return "Not available offline: this browser's settings do not let the page keep files.";
}

// Which models with all that they need this browser keeps, in words.
async function tellKept(manifest) {
  const choices = manifest.models.flatMap((model) => Object.keys(model.precisions).map((name) => [model, name]));
  const missing = await Promise.all(choices.map(([model, name]) => missingFiles(manifest, model, name)));
  const kept = choices.filter((_, index) => !missing[index].length).map(([model, name]) => `${model.name} (${name})`);
  if (kept.length) told.textContent = `Works offline now, with ${kept.join(", ")}.`;
  told.dataset.kept = kept.join(", ");
}

// Files are written to the browser's store a moment after they were used.
async function tellWhenKept(manifest, model, precision) {
  told.textContent = "Keeping the files for offline use …";
  for (let trial = 0; trial < 120; trial++) {
    if (!(await missingFiles(manifest, model, precision)).length) {
      await tellKept(manifest);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  told.textContent = "Not available offline: the browser had no room for the files, or did not write them.";
}

begin().catch((error) => {
  const problem = document.querySelector("#problem");
  problem.hidden = false;
  problem.textContent = `The page cannot start: ${error.message}. Is \`unibert web\` running?`;
});
