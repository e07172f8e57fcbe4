// Tables that sort by a click or by Enter on their headings, and filter by words.
const AT_FIRST = 300;

function sortable(place, columns, rows, what) {
  const state = { column: null, up: true, wanted: '', all: false };
  const body = element('tbody');
  const count = element('p', { class: 'legend', role: 'status' });
  const more = element('button', { type: 'button', onclick: () => { state.all = true; fill(); } });
  const texts = rows.map((row) => columns.map((c) => c.text(row)).join(' ').toLowerCase());
  const heads = columns.map((column, i) => {
    const button = element('button', { type: 'button', text: column.name, onclick: () => {
      state.up = state.column === i ? !state.up : !column.number;
      state.column = i;
      heads.forEach((head) => head.removeAttribute('aria-sort'));
      heads[i].setAttribute('aria-sort', state.up ? 'ascending' : 'descending');
      heads.forEach((head, j) => { head.firstChild.textContent = columns[j].name + (j === i ? (state.up ? ' ▲' : ' ▼') : ''); });
      fill();
    } });
    return element('th', { scope: 'col', class: column.number ? 'number' : '' }, button);
  });
  function order() {
    const found = rows.map((_, i) => i).filter((i) => texts[i].includes(state.wanted));
    if (state.column === null) return found;
    const { value } = columns[state.column];
    const way = state.up ? 1 : -1;
    return found.sort((a, b) => {
      const [x, y] = [value(rows[a]), value(rows[b])];
      const gone = (v) => v === null || v === undefined || Number.isNaN(v);
      if (gone(x) || gone(y)) return gone(x) - gone(y) || a - b; // what is missing comes last
      const less = typeof x === 'string' ? x.localeCompare(y, 'en', { numeric: true }) : x - y;
      return way * less || a - b;
    });
  }
  function fill() {
    const found = order();
    const shown = state.all ? found : found.slice(0, AT_FIRST);
    body.replaceChildren(...shown.map((i) => element('tr', {}, ...columns.map((c) => {
      const cell = element('td', { class: c.number ? 'number' : c.style ?? '', text: c.text(rows[i]) });
      if (c.title) cell.title = visible(c.title(rows[i]));
      return cell;
    }))));
    count.textContent = `${found.length} of ${rows.length} ${what}`;
    more.hidden = shown.length === found.length;
    more.textContent = `Show all ${found.length}`;
  }
  const find = element('input', { type: 'search', oninput: later(() => { state.wanted = find.value.trim().toLowerCase(); fill(); }, 100) });
  const table = element('table', {}, element('thead', {}, element('tr', {}, ...heads)), body);
  place.append(element('div', { class: 'controls' }, labelled('Rows that hold', find), count),
    element('div', { class: 'wide', tabindex: '0', role: 'region', 'aria-label': what }, table), more);
  fill();
}

const REMARKS = [['errors', 'without an answer'], ['truncated', 'truncated'], ['prompt_truncated', 'prompt truncated'], ['empty', 'empty'], ['unparseable', 'unparseable']];
const remarks = (row) => REMARKS.filter(([key]) => row.counts[key]).map(([key, words]) => `${row.counts[key]} ${words}`).join(', ');

function scoreTable() {
  const full = (v) => (isNumber(v) ? v.toLocaleString('en') : '–');
  const columns = [
    { name: 'task', text: (r) => titleOf(r.task), value: (r) => titleOf(r.task) },
    { name: 'model', text: (r) => nameOf(r.model), value: (r) => nameOf(r.model), title: (r) => r.model },
    { name: 'params', number: true, text: (r) => full(r.params), value: (r) => r.params },
    { name: 'non-embedding', number: true, text: (r) => full(r.inner), value: (r) => r.inner },
    { name: 'metric', text: (r) => `${r.metric} ${r.higher ? '↑' : '↓'}`, value: (r) => r.metric, title: (r) => r.signature },
    { name: 'score [95 %]', number: true, text: (r) => scoreText(r.value, r.bounds) + interval(r.ci, (v) => scoreText(v, r.bounds)), value: (r) => r.value },
    { name: 'n', number: true, text: (r) => (r.n ? r.n.toLocaleString('en') : '–'), value: (r) => r.n || null },
    { name: 'tokens/s', number: true, text: (r) => (isNumber(r.rate) ? Math.round(r.rate).toLocaleString('en') : '–'), value: (r) => r.rate },
    { name: 'remarks', text: remarks, value: (r) => remarks(r) || null },
  ];
  sortable(byId('score-table'), columns, data.scores, 'scores');
}

function fitTable() {
  const rows = data.charts.flatMap((chart) => chart.series.filter((s) => s.law).map((one) => ({ chart, one })));
  if (!rows.length) { byId('fit-table').append(element('p', { class: 'legend', text: 'No family has two known sizes; there is nothing to fit.' })); return; }
  const show = (r) => (v) => scoreText(v, r.chart.bounds);
  const last = (one) => { const f = one.forecast; return f ? (f.further?.at(-1) ?? f) : null; };
  const foretold = (r) => { const f = last(r.one); return f && isNumber(f.size) ? `${short(f.size)}: ${show(r)(f.value)}${interval(f.ci, show(r))}` : '–'; };
  const exponent = (r) => r.one.estimates?.exponent?.value ?? null;
  const columns = [
    { name: 'family', text: (r) => r.one.family, value: (r) => r.one.family },
    { name: 'task', text: (r) => r.chart.title, value: (r) => r.chart.title },
    { name: 'metric', text: (r) => r.chart.metric, value: (r) => r.chart.metric },
    { name: 'law', style: 'tight', text: (r) => formulaText(r.one.formula), value: (r) => r.one.formula },
    { name: 'exponent [95 %]', number: true, text: (r) => exponentText(r.one) || '–', value: exponent },
    { name: 'R²', number: true, text: (r) => (isNumber(r.one.r2) ? r.one.r2.toFixed(3) : '–'), value: (r) => r.one.r2 },
    { name: 'sizes', number: true, text: (r) => String(r.one.n), value: (r) => r.one.n },
    { name: 'forecast', number: true, text: foretold, value: (r) => last(r.one)?.value ?? null },
    { name: 'verdict', text: (r) => r.one.verdict, value: (r) => r.one.verdict },
    { name: 'note', style: 'long', text: (r) => [r.one.note, ...(r.one.warnings ?? [])].join(' '), value: (r) => r.one.note },
  ];
  sortable(byId('fit-table'), columns, rows, 'fits');
}
