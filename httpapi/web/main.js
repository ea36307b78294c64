import { h, byId, show } from './dom.js';
import * as api from './api.js';
import * as columns from './columns.js';
import * as drawer from './drawer.js';
import * as follow from './follow.js';
import * as format from './format.js';
import * as gauges from './gauges.js';
import * as keys from './keys.js';
import * as search from './search.js';
import { change, current, onChange, request, sameSearch } from './state.js';

let info = null;
let response = null; // what the board shows
let asking = null; // aborts the request under way

const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const store = (name, value) => { try { localStorage.setItem(name, value); } catch { /* for this visit only */ } };

// message takes the place of the board.
function message(kind, title, detail, ...more) {
  byId('board').hidden = true;
  byId('tabs').hidden = true;
  show(byId('message'), h('h2', null, title), detail && h('p', null, detail), ...more);
  byId('message').className = `message ${kind}`;
}

function failed(e) {
  const hints = {
    400: 'The query cannot be answered', 429: 'Too busy just now', 503: 'Not ready', 504: 'Too slow', 0: 'No connection',
  };
  const again = h('button', { type: 'button', class: 'plain', onclick: () => run() }, 'Try again');
  message('error', hints[e.status] ?? 'Something went wrong', e.detail || e.title || e.message,
    e.status === 400 ? null : again,
    e.instance && h('p', { class: 'aside' }, 'In the server’s log: ', h('code', null, e.instance.split(':').pop())));
  byId('summary').hidden = true;
  drawer.shut();
  console.info('request failed', e.status, e.detail);
}

function summarize() {
  const found = new Set(response.rankings.flatMap((r) => r.hits.map((hit) => hit.id)));
  const errors = response.rankings.filter((r) => r.error).length;
  byId('count').replaceChildren(
    h('strong', null, `“${response.query}”`),
    h('span', null, `${format.plural(found.size, 'different product')} in ${format.plural(response.rankings.length, 'ranking')}`),
    h('span', null, response.judged ? `${format.plural(response.judged, 'product')} judged` : 'no judgements for this query'),
    h('span', null, format.ms(response.took_ms)),
    ...(errors ? [h('span', { class: 'bad' }, `${format.plural(errors, 'ranking')} failed`)] : []));
  byId('summary').hidden = false;
}

function display() {
  byId('message').hidden = true;
  summarize();
  search.known(response);
  const nothing = response.rankings.every((r) => !r.hits.length && !r.error);
  if (nothing) {
    const s = current();
    const filtered = s.brands.length || s.categories.length || s.min_price || s.max_price;
    follow.load(null);
    message('empty', 'No product matches', filtered ? 'No ranking found a product that all filters allow.' : 'No ranking found anything for this query.',
      filtered ? h('button', { type: 'button', class: 'plain', onclick: () => change({ brands: [], categories: [], min_price: '', max_price: '' }) }, 'Remove the filters') : null);
    return;
  }
  columns.board(response, info);
  follow.load(response);
}

function showPin() {
  const id = current().pin;
  if (id && response && current().q) drawer.open(id, response, info);
  else drawer.shut();
  follow.pin(id);
}

// run asks for what the address says and shows it.
async function run({ again = false } = {}) {
  asking?.abort();
  const s = current();
  byId('q').value = s.q;
  document.title = s.q ? `${s.q} – trirank` : 'trirank';
  search.filters();
  search.options();
  byId('start').hidden = s.q !== '';
  if (!s.q) {
    response = null;
    for (const id of ['summary', 'tabs', 'message', 'board', 'progress']) byId(id).hidden = true;
    drawer.shut();
    search.startPage();
    return;
  }
  asking = new AbortController();
  const { signal } = asking;
  byId('message').hidden = true;
  byId('progress').hidden = false;
  if (byId('board').hidden || !response) {
    byId('count').replaceChildren(h('strong', null, `“${s.q}”`), h('span', null, 'comparing…'));
    byId('summary').hidden = false;
    columns.skeleton(info, s);
  }
  byId('board').setAttribute('aria-busy', 'true');
  try {
    const answer = await api.compare(request(s), signal, { again });
    response = answer;
    display();
    showPin();
  } catch (e) {
    if (e.name === 'AbortError') return;
    response = null;
    if (!(e instanceof api.Problem)) console.error(e);
    failed(e);
  }
  byId('board').removeAttribute('aria-busy');
  byId('progress').hidden = true;
}

function notes() {
  const dismissed = new Set(JSON.parse(stored('dismissed') ?? '[]'));
  byId('notes').replaceChildren(...(info.notes ?? []).filter((n) => !dismissed.has(n)).map((n) => {
    const line = h('p', { class: 'note' }, h('span', null, n), h('button', { type: 'button', 'aria-label': 'Dismiss this note', onclick: () => {
      store('dismissed', JSON.stringify([...dismissed.add(n)]));
      line.remove();
      follow.draw();
    } }, '×'));
    return line;
  }));
}

function theme() {
  const root = document.documentElement;
  const button = byId('theme-button');
  const next = { '': 'light', light: 'dark', dark: '' };
  const say = () => { button.title = `Theme: ${root.dataset.theme || 'as the system'}`; };
  say();
  button.addEventListener('click', () => {
    const to = next[root.dataset.theme ?? ''];
    if (to) root.dataset.theme = to;
    else delete root.dataset.theme;
    store('theme', to);
    say();
  });
}

function pinByClick() {
  byId('board').addEventListener('click', (e) => {
    const card = e.target.closest?.('a.card');
    if (!card || e.metaKey || e.ctrlKey || e.shiftKey || e.button) return;
    e.preventDefault();
    change({ pin: card.dataset.id === current().pin ? '' : card.dataset.id });
  });
}

async function start() {
  theme();
  try {
    info = await api.info();
    format.setGreatestLabel(info.greatest_label);
  } catch (e) {
    message('error', e.status === 503 ? 'The server is starting' : e.title || 'Something went wrong', e.detail,
      h('button', { type: 'button', class: 'plain', onclick: () => location.reload() }, 'Try again'));
    return;
  }
  byId('about').replaceChildren(`${info.catalogue ? `${info.catalogue}, ` : ''}${format.plural(info.products, 'product')} · trirank ${info.version}`);
  notes();
  search.start(info, run);
  follow.start();
  keys.start();
  pinByClick();
  onChange((now, before, { again }) => {
    if (sameSearch(now, before) && now.scores === before.scores) showPin();
    else run({ again });
  });
  await run();
  if (!current().q && !matchMedia('(pointer: coarse)').matches) byId('q').focus();
  gauges.start();
}

start();
