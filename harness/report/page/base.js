// Small helpers. Texts reach the page through textContent alone.
const SVG = 'http://www.w3.org/2000/svg';
const data = JSON.parse(document.getElementById('data').textContent);
const index = JSON.parse(document.getElementById('index').textContent);
const byId = (id) => document.getElementById(id);

// Control characters and marks that turn the writing direction, in a readable form. Joiners stay:
// emoji and several scripts need them.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
function visible(text) {
  return String(text).replace(/\r\n/g, '\n').replace(HIDDEN,
    (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

function element(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === 'text') made.textContent = visible(value);
    else if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = visible(text);
  return made;
}

function labelled(text, control) {
  return element('label', { text }, control);
}

function choice(options, chosen, onchange) {
  const made = element('select', { onchange: () => onchange(made.value) });
  for (const [value, text] of options) made.append(element('option', { value, text }));
  made.value = chosen;
  return made;
}

function later(action, wait) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(action, wait); };
}

const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

function short(number) {
  if (!isNumber(number)) return '–';
  for (const [unit, name] of [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'k']]) {
    if (number >= unit * 0.9995) return `${Number((number / unit).toPrecision(3))}${name}`;
  }
  return String(Number(number.toPrecision(3)));
}

function digits(number, count = 4) {
  if (!isNumber(number)) return '–';
  const size = Math.abs(number);
  if (size && (size < 1e-4 || size >= 1e7)) return number.toExponential(2);
  return String(Number(number.toPrecision(count)));
}

// A score with the digits that its scale deserves.
function scoreText(value, bounds) {
  if (!isNumber(value)) return '–';
  return bounds && bounds[0] === 0 && bounds[1] === 100 ? value.toFixed(1) : digits(value);
}

function interval(ci, show) {
  if (!ci) return '';
  const [low, high] = ci.map((end) => (isNumber(end) ? show(end) : '…'));
  return isNumber(ci[0]) || isNumber(ci[1]) ? ` [${low}, ${high}]` : '';
}

const nameOf = (model) => data.names[model] ?? model;
const titleOf = (task) => data.tasks[task] ?? task;
