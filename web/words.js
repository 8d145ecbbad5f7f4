// A text as words, and tagged words as entities. Positions are those of JavaScript's strings: UTF-16 units.

// Scripts that put no spaces between words.
const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}\p{sc=Tibetan}]/u;
const EDGE = /[\p{P}\p{S}]/u;

// [{ text, start, end }]: chunks between spaces, punctuation at their edges set apart as the CoNLL files have it; what is
// written without spaces is cut by the browser's dictionary, or by characters where it has none.
export function splitWords(text) {
  const words = [];
  const add = (piece, start) => words.push({ text: piece, start, end: start + piece.length });
  for (const chunk of text.matchAll(/\S+/gu)) {
    const letters = [...chunk[0]];
    let first = 0;
    let last = letters.length;
    while (first < last && EDGE.test(letters[first])) first++;
    while (last > first && EDGE.test(letters[last - 1])) last--;
    let at = chunk.index;
    const next = (piece, store = add) => {
      if (piece) store(piece, at);
      at += piece.length;
    };
    letters.slice(0, first).forEach((letter) => next(letter));
    next(letters.slice(first, last).join(""), (piece, start) => {
      if (UNSPACED.test(piece)) for (const [part, offset] of cut(piece)) add(part, start + offset);
      else add(piece, start);
    });
    letters.slice(last).forEach((letter) => next(letter));
  }
  return words;
}

function* cut(text) {
  if (globalThis.Intl?.Segmenter) {
    for (const { segment, index } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)) {
      yield [segment, index];
    }
    return;
  }
  let at = 0;
  for (const letter of text) {
    yield [letter, at];
    at += letter.length;
  }
}

// [{ type, start, end, score }] from one tag per word: B- begins an entity, I- goes on with one of its type and begins one
// where there is none; tags without such a beginning go on as long as they are the same. The score is the lowest of
// its words.
export function mergeEntities(words, tags, scores) {
  const entities = [];
  let open = null;
  words.forEach((word, index) => {
    const tag = tags[index];
    if (tag === "O") {
      open = null;
      return;
    }
    const [, begins, type] = /^(?:([BI])-)?(.+)$/s.exec(tag);
    if (open && open.type === type && begins !== "B") {
      open.end = word.end;
      open.score = Math.min(open.score, scores[index]);
    } else {
      open = { type, start: word.start, end: word.end, score: scores[index] };
      entities.push(open);
    }
  });
  return entities;
}
