// Word by word: what an answer lacks of its reference, and what it adds.
const MOST_WORDS = 1500;
const WORDS = /[\p{L}\p{N}\p{M}_]+|\s+|[^]/gu;
const IDEOGRAPHS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u;

function words(text) {
  const found = text.match(WORDS) ?? [];
  // Scripts without spaces are compared by characters.
  return found.flatMap((word) => (IDEOGRAPHS.test(word) ? [...word] : [word]));
}

// Longest common subsequence; parts are [kind, text] with kind '=', '-' (reference) or '+' (answer).
function difference(reference, answer) {
  const a = words(reference), b = words(answer);
  if (a.length > MOST_WORDS || b.length > MOST_WORDS) return null;
  const wide = b.length + 1;
  const best = new Uint16Array((a.length + 1) * wide);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      best[i * wide + j] = a[i] === b[j] ? best[(i + 1) * wide + j + 1] + 1
        : Math.max(best[(i + 1) * wide + j], best[i * wide + j + 1]);
    }
  }
  const parts = [];
  const add = (kind, text) => {
    const end = parts.at(-1);
    if (end && end[0] === kind) end[1] += text; else parts.push([kind, text]);
  };
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { add('=', a[i]); i += 1; j += 1; }
    else if (j >= b.length || (i < a.length && best[(i + 1) * wide + j] >= best[i * wide + j + 1])) { add('-', a[i]); i += 1; }
    else { add('+', b[j]); j += 1; }
  }
  return joined(parts);
}

// Changes that only blanks part are one change: first all that is missing, then all that is added.
function joined(parts) {
  const made = [];
  let gone = '', added = '';
  const flush = () => {
    if (gone) made.push(['-', gone]);
    if (added) made.push(['+', added]);
    gone = added = '';
  };
  parts.forEach(([kind, text], i) => {
    const between = kind === '=' && !text.trim() && i > 0 && i < parts.length - 1;
    if (kind === '-' || between) gone += text;
    if (kind === '+' || between) added += text;
    if (kind === '=' && !between) { flush(); made.push(['=', text]); }
  });
  flush();
  return made;
}

// Against the reference that is nearest, if there are several.
function nearest(references, answer) {
  let chosen = null, least = Infinity;
  for (const reference of references.slice(0, 20)) {
    const parts = difference(reference.trim(), answer.trim());
    if (!parts) continue;
    const cost = parts.reduce((sum, [kind, text]) => sum + (kind === '=' ? 0 : text.length), 0);
    if (cost < least) { least = cost; chosen = parts; }
  }
  return chosen;
}

function differenceBox(references, answer) {
  const parts = nearest(references, answer);
  if (!parts) return element('p', { class: 'legend', text: 'Too long to compare word by word.' });
  if (parts.every(([kind]) => kind === '=')) return element('p', { class: 'legend', text: 'Equal to the reference.' });
  const box = element('pre', { class: 'diff' });
  for (const [kind, text] of parts) {
    box.append(element({ '=': 'span', '-': 'del', '+': 'ins' }[kind], { text }));
  }
  return box;
}
