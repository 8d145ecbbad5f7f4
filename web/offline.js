// Keeping the page for times without a network, and telling what is kept.

import { neededFiles } from "./manifest.js";

const HERE = new URL("./", document.baseURI).href;

// Resolves when the service worker is between this page and the network, or when it is clear that it will not be.
export async function keepOffline() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return false;
  try {
    await serviceWorker.register("sw.js");
    const { active } = await serviceWorker.ready;
    if (serviceWorker.controller) return true;
    const taken = new Promise((resolve) => serviceWorker.addEventListener("controllerchange", () => resolve(true), { once: true }));
    active.postMessage("claim");
    const late = new Promise((resolve) => setTimeout(() => resolve(false), 3000));
    return await Promise.race([taken, late]);
  } catch {
    return false; // no server and nothing kept, or the reader's settings forbid it
  }
}

// What of the page, the library and a model this browser does not keep yet.
export async function missingFiles(manifest, model, precision) {
  const wanted = [...manifest.page, "models.json", ...Object.keys(neededFiles(manifest, model, precision))];
  const found = await Promise.all(wanted.map((name) => caches.match(new URL(name, HERE).href)));
  return wanted.filter((_, index) => !found[index]);
}
