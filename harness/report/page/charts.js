// Curves: points with intervals, law, band, forecast, the held-out size, residuals below.
const HEIGHT = 300, STRIP = 78, LEFT = 66, RIGHT = 14, TOP = 12, BOTTOM = 34;
const tip = byId('tip');

function axis(low, high, from, to, log) {
  const at = log ? Math.log : (v) => v;
  const [a, b] = [at(low), at(high)];
  const span = b - a || 1;
  return (value) => from + ((at(value) - a) / span) * (to - from);
}

function logTicks(low, high, most) {
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const lead of [1, 2, 5]) all.push(lead * 10 ** power);
  }
  const inside = all.filter((v) => v >= low * 0.999 && v <= high * 1.001);
  const tens = inside.filter((v) => Math.abs(Math.log10(v) % 1) < 1e-9);
  if (inside.length <= most) return inside;
  if (tens.length <= most && tens.length > 1) return tens;
  const step = Math.ceil((tens.length || inside.length) / most);
  return (tens.length > 1 ? tens : inside).filter((_, i) => i % step === 0);
}

function plainTicks(low, high, most) {
  const raw = (high - low) / most || 1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((lead) => lead * unit).find((one) => one >= raw);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) {
    ticks.push(Number(v.toPrecision(12)));
  }
  return ticks;
}

// From a score to what the y axis shows: the score, or its distance to the perfect one.
function yScale(chart, mode) {
  const log = mode === 'log' && chart.error !== null;
  const [bound, sign, words] = chart.error ?? [0, 1, 'S'];
  return {
    log,
    of: log ? (score) => sign * (score - bound) : (score) => score,
    title: log ? (words === 'L' ? chart.metric : words.replace('S', chart.metric)) : chart.metric,
  };
}

function extent(chart, scale) {
  const xs = [], ys = [];
  for (const one of chart.series) {
    for (const p of one.points) {
      xs.push(p.x);
      ys.push(p.y, ...(p.ci ?? []));
    }
    for (const row of one.curve) { xs.push(row[0]); ys.push(row[1]); }
  }
  let shown = ys.filter(isNumber).map(scale.of);
  if (scale.log) shown = shown.filter((v) => v > 0);
  if (!shown.length) shown = [scale.log ? 0.1 : 0, 1];
  let [low, high] = [Math.min(...shown), Math.max(...shown)];
  if (scale.log) {
    // An interval that reaches zero must not stretch the axis without end.
    const values = chart.series.flatMap((s) => s.points.map((p) => scale.of(p.y))).filter((v) => v > 0);
    if (values.length) low = Math.max(low, Math.min(...values) / 4);
    [low, high] = [low / 1.12, high * 1.12];
  } else {
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    [low, high] = [low - room, high + room];
    // No room for scores that cannot be.
    const [least, most] = chart.bounds;
    if (isNumber(least) && low < least) low = least - room * 0.3;
    if (isNumber(most) && high > most) high = most + room * 0.3;
  }
  const wide = Math.max(...xs) > Math.min(...xs) ? 1.15 : 2;
  return { x: [Math.min(...xs) / wide, Math.max(...xs) * wide], y: [low, high] };
}

function pointText(chart, one, p) {
  const show = (v) => scoreText(v, chart.bounds);
  const lines = [
    `${nameOf(p.model)} · ${one.family}`,
    `N = ${p.x.toLocaleString('en')} ${one.x === 'total' ? 'parameters' : 'non-embedding parameters'}`,
    `${chart.metric} ${show(p.y)}${interval(p.ci, show)}${p.n ? `, n = ${p.n.toLocaleString('en')}` : ''}`,
  ];
  if (isNumber(p.residual)) lines.push(`log residual ${digits(p.residual, 3)}`);
  return lines.join('\n');
}

function showTip(text, x, y) {
  tip.textContent = visible(text);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(x + 14, window.innerWidth - box.width - 8);
  const top = y + 18 + box.height > window.innerHeight ? y - box.height - 12 : y + 18;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, top)}px`;
}
const hideTip = () => { tip.hidden = true; };

function hoverable(group, text) {
  group.setAttribute('tabindex', '0');
  group.setAttribute('role', 'img');
  group.setAttribute('aria-label', visible(text));
  group.addEventListener('pointerenter', (event) => showTip(text, event.clientX, event.clientY));
  group.addEventListener('pointerleave', hideTip);
  group.addEventListener('focus', () => {
    const box = group.getBoundingClientRect();
    showTip(text, box.right, box.top);
  });
  group.addEventListener('blur', hideTip);
  return group;
}

function mark(shape, x, y, type) {
  const r = 5;
  const at = { class: `mark ${type}` };
  if (shape === 0) return drawn('circle', { ...at, cx: x, cy: y, r });
  const corners = shape === 1 ? [[-r, -r], [r, -r], [r, r], [-r, r]]
    : shape === 2 ? [[0, -r - 1], [r + 1, r - 1], [-r - 1, r - 1]]
      : [[0, -r - 2], [r + 2, 0], [0, r + 2], [-r - 2, 0]];
  return drawn('polygon', { ...at, points: corners.map(([a, b]) => `${x + a},${y + b}`).join(' ') });
}

function path(rows) {
  return rows.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)},${y.toFixed(1)}`).join('');
}

// Law and band of one family; what lies beyond its largest size is dashed and fainter.
function lawParts(one, scale, X, Y, edge) {
  const parts = drawn('g');
  if (!one.curve.length) return parts;
  const largest = Math.max(...one.points.map((p) => p.x));
  const height = (score) => {
    const v = scale.of(score);
    return Math.min(edge.bottom, Math.max(edge.top, scale.log && v <= 0 ? edge.bottom : Y(v)));
  };
  const halves = [one.curve.filter((r) => r[0] <= largest * 1.0001), one.curve.filter((r) => r[0] >= largest * 0.9999)];
  halves.forEach((rows, ahead) => {
    if (rows.length < 2) return;
    const around = [...rows.map((r) => [X(r[0]), height(r[2])]), ...rows.slice().reverse().map((r) => [X(r[0]), height(r[3])])];
    parts.append(drawn('path', { class: 'band fill', d: `${path(around)}Z`, 'fill-opacity': ahead ? 0.6 : 1 }));
    parts.append(drawn('path', { class: `law line${ahead ? ' ahead' : ''}`, d: path(rows.map((r) => [X(r[0]), height(r[1])])) }));
  });
  return parts;
}

function pointParts(chart, one, shape, scale, X, Y, edge) {
  const parts = drawn('g');
  for (const p of one.points) {
    const v = scale.of(p.y);
    if (!isNumber(v) || (scale.log && v <= 0)) continue;
    const group = drawn('g', { class: 'point' });
    const ends = (p.ci ?? []).map((end) => (isNumber(end) ? scale.of(end) : null));
    if (ends.length && ends.every(isNumber)) {
      const [a, b] = ends.map((end) => Math.min(edge.bottom, Math.max(edge.top, scale.log && end <= 0 ? edge.bottom : Y(end))));
      group.append(drawn('line', { class: 'whisker line', x1: X(p.x), x2: X(p.x), y1: a, y2: b }));
    }
    group.append(mark(shape, X(p.x), Y(v), 'fill'));
    parts.append(hoverable(group, pointText(chart, one, p)));
  }
  const out = one.held_out;
  if (out && (!scale.log || scale.of(out.y) > 0)) {
    const show = (v) => scoreText(v, chart.bounds);
    const text = `Held out: the smaller sizes foretell ${show(out.y)}${interval(out.ci, show)} for ${nameOf(out.model)}\nmeasured ${show(out.measured)}: ${out.inside ? 'inside' : 'OUTSIDE'}`;
    const y = Math.min(edge.bottom, Math.max(edge.top, Y(scale.of(out.y))));
    const group = drawn('g', { class: 'point' });
    group.append(mark(3, X(out.x), y, 'hollow'));
    parts.append(hoverable(group, text));
  }
  return parts;
}

function frame(svg, chart, scale, range, width, X, Y) {
  for (const v of logTicks(range.x[0], range.x[1], Math.max(3, Math.floor(width / 90)))) {
    svg.append(drawn('line', { class: 'axis', x1: X(v), x2: X(v), y1: TOP, y2: HEIGHT - BOTTOM }));
    svg.append(drawn('text', { x: X(v), y: HEIGHT - BOTTOM + 16, 'text-anchor': 'middle' }, short(v)));
  }
  const ticks = scale.log ? logTicks(range.y[0], range.y[1], 6) : plainTicks(range.y[0], range.y[1], 5);
  for (const v of ticks) {
    svg.append(drawn('line', { class: 'axis', x1: LEFT, x2: width - RIGHT, y1: Y(v), y2: Y(v) }));
    svg.append(drawn('text', { x: LEFT - 7, y: Y(v) + 4, 'text-anchor': 'end' }, digits(v, 3)));
  }
  svg.append(drawn('line', { class: 'frame', x1: LEFT, x2: width - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }));
  const names = new Set(chart.series.map((s) => s.x));
  const size = names.size > 1 ? 'parameters' : names.has('total') ? 'total parameters' : 'non-embedding parameters';
  svg.append(drawn('text', { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 5, 'text-anchor': 'middle' }, `N, ${size}`));
  svg.append(drawn('text', { transform: `translate(13,${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`, 'text-anchor': 'middle' }, `${scale.title} ${(scale.log ? false : chart.higher) ? '↑' : '↓'}`));
  if (isNumber(chart.chance) && !scale.log && chart.chance > range.y[0] && chart.chance < range.y[1]) {
    svg.append(drawn('line', { class: 'chance', x1: LEFT, x2: width - RIGHT, y1: Y(chart.chance), y2: Y(chart.chance) }));
  }
}

// In the widest gap between sizes, where no interval runs through it.
function chanceLabel(svg, chart, X, Y) {
  if (!svg.querySelector('.chance')) return;
  const at = [...new Set(chart.series.flatMap((s) => s.points.map((p) => X(p.x))))].sort((a, b) => a - b);
  const gaps = at.slice(1).map((x, i) => [x - at[i], (x + at[i]) / 2]);
  const [, x] = gaps.sort((a, b) => b[0] - a[0])[0] ?? [0, at[0] + 30];
  svg.append(drawn('text', { class: 'over', x, y: Y(chart.chance) - 4, 'text-anchor': 'middle' }, 'chance'));
}

function strip(svg, chart, width, X) {
  const all = chart.series.flatMap((s) => s.points.map((p) => p.residual)).filter(isNumber);
  if (!all.length) return;
  const most = Math.max(...all.map(Math.abs), 1e-9) * 1.15;
  const top = HEIGHT + 14, Y = axis(-most, most, HEIGHT + STRIP, top, false);
  svg.append(drawn('line', { class: 'frame', x1: LEFT, x2: width - RIGHT, y1: Y(0), y2: Y(0) }));
  for (const v of [-most / 1.15, most / 1.15]) {
    svg.append(drawn('text', { x: LEFT - 7, y: Y(v) + 4, 'text-anchor': 'end' }, `${v > 0 ? '+' : '−'}${digits(Math.abs(v), 2)}`));
  }
  svg.append(drawn('text', { transform: `translate(13,${Y(0)}) rotate(-90)`, 'text-anchor': 'middle' }, 'log residual'));
  chart.series.forEach((one, i) => {
    const group = drawn('g', { class: `k${i % 6}` });
    for (const p of one.points) {
      if (!isNumber(p.residual)) continue;
      group.append(drawn('line', { class: 'whisker line', x1: X(p.x), x2: X(p.x), y1: Y(0), y2: Y(p.residual) }));
      group.append(mark(i % 3, X(p.x), Y(p.residual), 'fill'));
    }
    svg.append(group);
  });
}

function plot(chart, mode, width) {
  const scale = yScale(chart, mode);
  const range = extent(chart, scale);
  const X = axis(range.x[0], range.x[1], LEFT, width - RIGHT, true);
  const Y = axis(range.y[0], range.y[1], HEIGHT - BOTTOM, TOP, scale.log);
  const edge = { top: TOP, bottom: HEIGHT - BOTTOM };
  const residuals = chart.series.some((s) => s.points.some((p) => isNumber(p.residual)));
  const tall = HEIGHT + (residuals ? STRIP + 6 : 0);
  const svg = drawn('svg', { viewBox: `0 0 ${width} ${tall}`, role: 'group', 'aria-label': visible(`${chart.title} ${chart.metric} by size`) });
  frame(svg, chart, scale, range, width, X, Y);
  chart.series.forEach((one, i) => {
    const group = drawn('g', { class: `k${i % 6}` });
    group.append(lawParts(one, scale, X, Y, edge), pointParts(chart, one, i % 3, scale, X, Y, edge));
    svg.append(group);
  });
  chanceLabel(svg, chart, X, Y);
  strip(svg, chart, width, X);
  return svg;
}

// The paper's letters as letters.
function formulaText(formula) {
  return formula.replaceAll('^-alpha', '^(−α)').replaceAll('alpha', 'α').replaceAll('beta', 'β');
}

function exponentText(one) {
  const found = one.estimates?.exponent;
  if (!found || !isNumber(found.value)) return '';
  return `${digits(found.value, 3)}${interval(found.ci, (v) => digits(v, 3))}`;
}

function fitItem(chart, one, i) {
  const show = (v) => scoreText(v, chart.bounds);
  const item = element('li', { class: `k${i % 6}` }, element('span', { class: 'swatch' }), element('strong', { text: one.family }));
  if (!one.law) { item.append(element('span', { class: 'dim', text: ` one size, no fit` })); return item; }
  item.append(element('span', { class: `verdict ${one.verdict}`, text: one.verdict }), element('div', { text: formulaText(one.formula) }));
  const exponent = exponentText(one);
  if (exponent) {
    const r2 = isNumber(one.r2) ? `, R² ${one.r2.toFixed(3)}` : '';
    item.append(element('div', { text: `exponent ${exponent}${r2}, ${one.n} sizes` }));
  }
  if (one.held_out) {
    const out = one.held_out;
    item.append(element('div', { text: `◇ held out: ${nameOf(out.model)} foretold ${show(out.y)}${interval(out.ci, show)}, measured ${show(out.measured)}` }));
  }
  if (one.note) item.append(element('div', { class: 'dim', text: one.note }));
  return item;
}

// One card a task; drawn when it comes into view, and again when its width or its scale changes.
function card(task, charts, watcher) {
  const state = { chart: charts[0], mode: null, width: 0 };
  const box = element('div', { class: 'plot' });
  const list = element('ul', { class: 'fits' });
  const made = element('article', { class: 'card' });
  const draw = () => {
    if (!state.width) return;
    const mode = state.mode ?? (state.chart.loss ? 'log' : 'score');
    box.replaceChildren(plot(state.chart, mode, state.width));
    list.replaceChildren(...state.chart.series.map((one, i) => fitItem(state.chart, one, i)));
  };
  const metrics = charts.map((chart, i) => [i, `${chart.metric} ${chart.higher ? '↑' : '↓'}`]);
  const select = choice(metrics, 0, (i) => { state.chart = charts[i]; draw(); });
  select.setAttribute('aria-label', 'Metric');
  made.append(element('div', { class: 'card-head' }, element('h3', { text: titleOf(task) }), select), box, list);
  made.setMode = (mode) => { state.mode = mode; draw(); };
  made.draw = () => {
    const width = Math.round(box.clientWidth);
    if (width && width !== state.width) { state.width = width; draw(); }
  };
  watcher.observe(made);
  return made;
}

function curves() {
  const tasks = new Map();
  for (const chart of data.charts) {
    if (!tasks.has(chart.task)) tasks.set(chart.task, []);
    tasks.get(chart.task).push(chart);
  }
  if (!tasks.size) {
    byId('curve-legend').textContent = 'No model of this run has a known size; there is no curve.';
    return;
  }
  const watcher = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) one.target.draw();
  }, { rootMargin: '400px' });
  const cards = [...tasks].map(([task, charts]) => card(task, charts, watcher));
  byId('cards').append(...cards);
  const modes = [['', 'as suits the metric'], ['score', 'score'], ['log', 'logarithm of the error or loss']];
  const controls = byId('curve-controls');
  controls.append(labelled('Vertical axis', choice(modes, '', (mode) => cards.forEach((one) => one.setMode(mode || null)))));
  if (cards.length > 4) {
    const find = element('input', { type: 'search', oninput: () => {
      const wanted = find.value.toLowerCase();
      cards.forEach((one, i) => { one.hidden = !titleOf([...tasks.keys()][i]).toLowerCase().includes(wanted); });
    } });
    controls.append(labelled('Tasks whose name holds', find));
  }
  byId('curve-legend').textContent = 'Points with 95 % intervals; line and band: the law and where 95 % of new measurements should lie, dashed beyond the largest size; ◇: what the smaller sizes foretold for the largest; log residual: natural logarithm of what was measured over what the law says, of the quantity on the law\'s left-hand side.';
  window.addEventListener('resize', later(() => cards.forEach((one) => one.draw()), 150));
  window.addEventListener('beforeprint', () => cards.forEach((one) => one.draw()));
}
