// The page from top to bottom.
function heading() {
  const finished = data.manifest.finished ?? data.manifest.started;
  byId('title').textContent = visible(data.title);
  const cells = new Set(data.scores.map((s) => JSON.stringify([s.model, s.task]))).size;
  byId('summary').textContent = visible(`${data.models.length} models, ${Object.keys(data.tasks).length} tasks, ${cells} cells with scores · ${finished.replace('T', ' ').replace('+00:00', ' UTC')} · harness ${data.version}`);
  const errors = byId('errors');
  if (data.status !== 'complete') errors.append(element('p', { class: 'warning', text: 'PARTIAL: some cells of this run are missing or failed.' }));
  for (const error of data.errors) errors.append(element('p', { class: 'warning', text: error }));
}

function terms(pairs) {
  const made = element('dl');
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === '') continue;
    made.append(element('dt', { text: name }), element('dd', { text: value }));
  }
  return made;
}

function provenance() {
  const m = data.manifest;
  const flat = (mapping) => Object.entries(mapping ?? {}).filter(([, v]) => v !== null).map(([k, v]) => `${k} ${v}`).join(', ');
  const seconds = isNumber(m.seconds) ? `${m.seconds.toFixed(1)} s` : '';
  const body = byId('provenance-body');
  body.append(terms([
    ['run', data.run], ['command', m.command.join(' ')], ['started', m.started], ['finished', m.finished], ['took', seconds],
    ['settings', flat(m.settings)], ['git commit', m.git_commit], ['platform', flat(m.platform)], ['versions', flat(m.versions)],
    ['page by', `harness ${data.version}`],
  ]), element('h3', { text: 'Models' }));
  const columns = [
    { name: 'model', text: (r) => r.name, value: (r) => r.name },
    { name: 'family', text: (r) => r.family, value: (r) => r.family },
    { name: 'params', number: true, text: (r) => r.parameters.total?.toLocaleString('en') ?? '–', value: (r) => r.parameters.total },
    { name: 'sizes from', text: (r) => r.sizes, value: (r) => r.sizes },
    { name: 'train tokens', number: true, text: (r) => r.train_tokens?.toLocaleString('en') ?? '–', value: (r) => r.train_tokens },
    { name: 'identity', text: (r) => r.identity, value: (r) => r.identity },
    { name: 'settings', text: (r) => flat(r.settings), value: (r) => flat(r.settings) },
  ];
  const identities = new Map(data.models.map((m) => [m.name, m.identity]));
  const models = element('div');
  body.append(models, element('h3', { text: 'Signatures' }));
  sortable(models, columns, data.models, 'models');
  // The model's part stands in the table above; without it, models share their signatures.
  const plain = (s) => s.signature.replace(`|model:${identities.get(s.model)}`, '');
  const signatures = [...new Map(data.scores.map((s) => [`${s.task}\n${plain(s)}`, s])).values()];
  const box = element('div');
  body.append(box);
  sortable(box, [
    { name: 'task', text: (s) => titleOf(s.task), value: (s) => s.task },
    { name: 'metric', text: (s) => s.metric, value: (s) => s.metric },
    { name: 'signature', text: plain, value: plain },
  ], signatures, 'signatures');
}

heading();
curves();
fitTable();
scoreTable();
samples();
provenance();
window.addEventListener('keydown', (event) => { if (event.key === 'Escape') hideTip(); });
document.documentElement.dataset.ready = String(Math.round(performance.now()));
