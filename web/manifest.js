// What the server says there is: `models.json`.

export async function readManifest() {
  const answer = await fetch("models.json");
  if (!answer.ok) throw new Error(`models.json: ${answer.status}`);
  return answer.json();
}

// The library's files and those of a model: address from the page -> [bytes, bytes to download].
export function neededFiles(manifest, model, precision) {
  const needed = {};
  for (const [name, size] of Object.entries(manifest.library.files)) needed[manifest.library.path + name] = size;
  for (const [name, size] of Object.entries(model.files)) {
    if (name.startsWith("onnx/") && name !== model.precisions[precision]) continue;
    needed[`models/${model.id}/${name}`] = size;
  }
  return needed;
}

// [bytes, bytes to download] of some files together.
export function total(files) {
  return Object.values(files).reduce(([size, download], [more, packed]) => [size + more, download + packed], [0, 0]);
}
