// The sample browser. Blocks are unpacked when they are first looked at; the list holds only the
// rows in view, however many samples there are.
const ROW = 46;
const MARKS = { e: 'no answer', t: 'truncated', p: 'prompt truncated', u: 'unparseable', m: 'empty' };
const opened = new Map();

async function unpack(id) {
  const text = atob(byId(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(stream).text());
}

function block(id) {
  if (!opened.has(id)) opened.set(id, unpack(id));
  return opened.get(id);
}

const seen = { cell: null, other: null, rows: [], shown: [], chosen: 0, wanted: '', keep: 'all', sort: 'order' };
const list = byId('sample-list');
const holder = list.firstElementChild;
const detail = byId('sample-detail');
const status = byId('sample-status');

async function openCell(cell, other) {
  status.textContent = 'Opening…';
  const [asked, answers, others] = await Promise.all([block(cell.asked), block(cell.answers), other ? block(other.answers) : []]);
  if (seen.cell !== cell || seen.other !== other) return; // another was chosen meanwhile
  const questions = new Map(asked.map((row) => [row[0], row]));
  const beside = new Map(others.map((row) => [row[0], row]));
  const before = seen.rows[seen.shown[seen.chosen]]?.id;
  seen.rows = answers.map(([id, given, marks, score]) => ({ id, given, marks, score, question: questions.get(id), beside: beside.get(id), hay: null }));
  select(before);
}

function hay(row) {
  if (row.hay === null) {
    const [, requests, references] = row.question ?? [row.id, [], []];
    const texts = [row.id, ...requests.flatMap((r) => r.slice(1)), ...references, ...row.given.map((g) => g[1])];
    row.hay = texts.join('\n').toLowerCase();
  }
  return row.hay;
}

function kept(row) {
  switch (seen.keep) {
    case 'all': return true;
    case 'marked': return row.marks !== '';
    case 'differs': return row.beside !== undefined && row.beside[3] !== row.score;
    default: return row.score !== null && !isBest(row.score);
  }
}

function isBest(score) {
  const chart = data.scores.find((s) => s.task === seen.cell.task && s.metric === seen.cell.metric);
  const best = chart ? chart.bounds[chart.higher ? 1 : 0] : null;
  return isNumber(best) && Math.abs(score - best) < 1e-9;
}

function select(before) {
  const found = [];
  for (let i = 0; i < seen.rows.length; i += 1) {
    if (kept(seen.rows[i]) && (!seen.wanted || hay(seen.rows[i]).includes(seen.wanted))) found.push(i);
  }
  if (seen.sort !== 'order') {
    const way = (seen.sort === 'worst') === seen.cell.higher ? 1 : -1;
    const key = (i) => seen.rows[i].score;
    found.sort((a, b) => (key(a) === null) - (key(b) === null) || way * (key(a) - key(b)) || a - b);
  }
  seen.shown = found;
  const kept_ = before === undefined ? -1 : found.findIndex((i) => seen.rows[i].id === before);
  seen.chosen = Math.max(0, kept_);
  const of = seen.cell.of > seen.cell.n ? ` (${seen.cell.n} of the run's ${seen.cell.of} are in this page)` : '';
  status.textContent = `${found.length.toLocaleString('en')} of ${seen.rows.length.toLocaleString('en')} samples${of}`;
  holder.style.height = `${found.length * ROW}px`;
  list.scrollTop = Math.max(0, seen.chosen * ROW - list.clientHeight / 2);
  paint();
  describe();
}

function preview(row) {
  return row.given.map(([, text]) => text.slice(0, 300)).join(' · ').replace(/\s+/g, ' ');
}

// Scores of one sample; a corpus score of one sentence is a rough guide.
const sampleScore = (score) => (score === null ? '–' : digits(score, 4));

function paint() {
  const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const to = Math.min(seen.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const made = [];
  for (let place = from; place < to; place += 1) {
    const row = seen.rows[seen.shown[place]];
    const marks = [...row.marks].map((letter) => MARKS[letter]).join(', ');
    const head = element('div', { class: 'head' }, element('span', { text: row.id }), element('span', { text: [marks, sampleScore(row.score)].filter(Boolean).join(' · ') }));
    const item = element('div', {
      class: 'item', role: 'option', id: `row-${place}`, 'aria-selected': String(place === seen.chosen),
      'aria-setsize': String(seen.shown.length), 'aria-posinset': String(place + 1),
      onclick: () => choose(place),
    }, head, element('div', { text: preview(row) || '(empty)' }));
    item.style.top = `${place * ROW}px`;
    made.push(item);
  }
  holder.replaceChildren(...made);
  if (seen.shown.length) list.setAttribute('aria-activedescendant', `row-${seen.chosen}`);
  else list.removeAttribute('aria-activedescendant');
}

function choose(place) {
  seen.chosen = Math.min(Math.max(0, place), Math.max(0, seen.shown.length - 1));
  const top = seen.chosen * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  paint();
  describe();
}

function answerParts(model, given, score, references) {
  const parts = [element('h4', { text: `${nameOf(model)} answered · ${seen.cell.metric} ${sampleScore(score)}` })];
  for (const [kind, text] of given) {
    if (kind === 'e') parts.push(element('p', { class: 'warning', text: `no answer: ${text}` }));
    else if (kind === 'n') parts.push(element('p', { class: 'legend', text: `probability of the text asked about: ${text}` }));
    else parts.push(element('pre', { text: text || '(empty)' }));
    if ((kind === 't' || kind === 'g') && references.length) {
      parts.push(element('h4', { text: 'Difference to the reference: struck out is missing, underlined is added' }), differenceBox(references, text));
    }
  }
  return parts;
}

function describe() {
  const row = seen.rows[seen.shown[seen.chosen]];
  if (!row) { detail.replaceChildren(element('p', { class: 'legend', text: 'No sample is chosen.' })); return; }
  const [, requests, references] = row.question ?? [row.id, [], []];
  const parts = [element('h3', { text: row.id })];
  if (row.marks) parts.push(element('p', { class: 'warning', text: [...row.marks].map((letter) => MARKS[letter]).join(', ') }));
  requests.forEach(([kind, ...texts], i) => {
    const which = requests.length > 1 ? ` ${i + 1} of ${requests.length}` : '';
    const words = { generate: 'Prompt', loglikelihood: 'How probable is the last text after the first?', tag: 'Tokens to tag', classify: 'Text to classify' }[kind];
    parts.push(element('h4', { text: `${words}${which}` }), ...texts.map((text) => element('pre', { text: text || '(empty)' })));
  });
  parts.push(element('h4', { text: references.length > 1 ? 'References' : 'Reference' }), ...references.map((text) => element('pre', { text })));
  parts.push(...answerParts(seen.cell.model, row.given, row.score, references));
  if (row.beside) parts.push(...answerParts(seen.other.model, row.beside[1], row.beside[3], references));
  detail.replaceChildren(...parts);
  detail.scrollTop = 0;
}

function keys(event) {
  const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const step = steps[event.key];
  choose(Number.isFinite(step) ? seen.chosen + step : step < 0 ? 0 : seen.shown.length - 1);
}

function samples() {
  const cells = index.cells;
  const controls = byId('sample-controls');
  if (!cells.length) { status.textContent = 'This page holds no samples.'; document.querySelector('.browser').hidden = true; return; }
  const tasks = [...new Set(cells.map((cell) => cell.task))];
  const of = (task, model) => cells.find((cell) => cell.task === task && cell.model === model);
  let models, besides;
  const go = () => {
    seen.cell = of(taskChoice.value, models.value);
    seen.other = besides.value ? of(taskChoice.value, besides.value) ?? null : null;
    openCell(seen.cell, seen.other);
  };
  const renew = () => {
    const here = cells.filter((cell) => cell.task === taskChoice.value).map((cell) => [cell.model, nameOf(cell.model)]);
    const [a, b] = [models?.value, besides?.value];
    const known = (name) => here.some(([value]) => value === name);
    const chosen = choice(here, known(a) ? a : here.at(-1)[0], go);
    const beside = choice([['', 'no other'], ...here], known(b) ? b : '', go);
    if (models) { models.replaceWith(chosen); besides.replaceWith(beside); }
    [models, besides] = [chosen, beside];
  };
  const taskChoice = choice(tasks.map((task) => [task, titleOf(task)]), tasks[0], () => { renew(); go(); });
  renew();
  const keep = choice([['all', 'all'], ['wrong', 'below the best score'], ['marked', 'with a remark'], ['differs', 'where the other scores differently']], 'all', (v) => { seen.keep = v; select(); });
  const sort = choice([['order', "the task's"], ['worst', 'worst first'], ['best', 'best first']], 'order', (v) => { seen.sort = v; select(); });
  const find = element('input', { type: 'search', id: 'sample-search', oninput: later(() => { seen.wanted = find.value.toLowerCase(); select(); }, 120) });
  controls.append(labelled('Task', taskChoice), labelled('Model', models), labelled('Beside it', besides), labelled('Show', keep), labelled('Order', sort), labelled('Search in all texts', find));
  list.addEventListener('scroll', () => requestAnimationFrame(paint), { passive: true });
  list.addEventListener('keydown', keys);
  const watcher = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) { watcher.disconnect(); go(); }
  }, { rootMargin: '300px' });
  watcher.observe(list);
}
