// The service worker: keeps the page, the library and the models that were used, so that all of it works without a network.
//
// Library and models lie under addresses that change when they do: what is kept is never out of date. The page itself is
// asked for anew each time, and taken from what is kept only where the server does not answer.
"use strict";

const PAGE = "unibert-page";
const FILES = "unibert-files";
const ROOT = new URL("./", self.location).href;
const MANIFEST = `${ROOT}models.json`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const answer = await fetch(MANIFEST, { cache: "no-cache" });
      const { page } = await answer.clone().json();
      const cache = await caches.open(PAGE);
      await cache.put(MANIFEST, answer);
      await cache.addAll(page.map((name) => new Request(ROOT + name.replace(/^\.\//, ""), { cache: "no-cache" })));
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", (event) => {
  // A page that was loaded past the service worker (Shift and reload) asks to be served again.
  if (event.data === "claim") event.waitUntil(self.clients.claim());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = request.url.split(/[?#]/)[0];
  if (request.method !== "GET" || !address.startsWith(ROOT)) return;
  const path = address.slice(ROOT.length);
  event.respondWith(/^(library|models)\//.test(path) ? kept(event, address) : fresh(event, address));
});

async function kept(event, address) {
  const cache = await caches.open(FILES);
  const found = await cache.match(address);
  if (found) {
    const headers = new Headers(found.headers);
    headers.set("X-Unibert-Store", "yes");
    return new Response(found.body, { status: 200, headers });
  }
  const answer = await fetch(address, { cache: "no-store" }); // once is enough: not in the browser's other cache, too
  // Where there is no room the page works all the same, but not without the server; it tells so.
  if (answer.ok) event.waitUntil(cache.put(address, answer.clone()).catch(() => {}));
  return answer;
}

async function fresh(event, address) {
  const cache = await caches.open(PAGE);
  try {
    const answer = await fetch(address, { cache: "no-cache" });
    if (answer.ok) {
      event.waitUntil(cache.put(address, answer.clone()).catch(() => {}));
      if (address === MANIFEST) event.waitUntil(forget(answer.clone()));
    }
    return answer;
  } catch (error) {
    const found = await cache.match(address);
    if (found) return found;
    throw error;
  }
}

// Remove what the server does not offer any more.
async function forget(answer) {
  const { library, models } = await answer.json();
  const offered = [library.path, ...models.map(({ id }) => `models/${id}/`)].map((path) => ROOT + path);
  const cache = await caches.open(FILES);
  for (const { url } of await cache.keys()) {
    if (!offered.some((start) => url.startsWith(start))) await cache.delete(url);
  }
}
