import { h, byId, show } from './dom.js';
import * as api from './api.js';
import * as format from './format.js';
import { badge, picture, stars } from './card.js';
import { explanation } from './explain.js';
import { baselineOf } from './columns.js';
import { change, current, link, request } from './state.js';
import { ranksOf } from './follow.js';

let pending = null; // aborts what the drawer still waits for
let explaining = false; // whether explanations were unfolded, which the next product keeps
let opener = null;

const section = (title, ...children) => h('section', null, h('h3', null, title), ...children);
const failure = (e) => h('p', { class: 'quiet' }, e.detail || e.title || String(e));

function pinLink(hit, ...children) {
  return h('a', { href: link({ pin: hit.id }), onclick: (e) => {
    if (e.metaKey || e.ctrlKey || e.shiftKey) return;
    e.preventDefault();
    change({ pin: hit.id });
  } }, ...children);
}

// placements tells rank and score of the product in each ranking.
function placements(id, response) {
  const baseline = baselineOf(response.rankings);
  const known = ranksOf(id);
  const hits = new Map(response.rankings.map((r) => [r.system, r.hits.find((hit) => hit.id === id)]));
  // A ranking that does not show the product may still have scored it for a fusion.
  const parts = new Map([...hits.values()].flatMap((hit) => hit?.components ?? []).map((c) => [c.system, c]));
  const rows = response.rankings.map((r) => {
    const hit = hits.get(r.system);
    const rank = known.get(r.system);
    const value = hit?.score ?? parts.get(r.system)?.score;
    const by = baseline && rank && known.get(baseline) ? known.get(baseline) - rank : 0;
    return h('tr', { class: rank ? '' : 'absent' },
      h('th', { scope: 'row' }, r.system),
      h('td', null, r.error ? 'failed' : rank ?? `> ${response.depth}`),
      h('td', null, !baseline || r.system === baseline || !by ? '' : h('span', { class: by > 0 ? 'move up' : 'move down' }, `${by > 0 ? '▲' : '▼'}${Math.abs(by)}`)),
      h('td', null, value === undefined ? '–' : format.score(value)));
  });
  return h('table', { class: 'placements' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Ranking'), h('th', { scope: 'col' }, 'Rank'), h('th', { scope: 'col' }, h('span', { class: 'unseen' }, baseline ? `against ${baseline}` : '')), h('th', { scope: 'col' }, 'Score'))), h('tbody', null, rows));
}

// components tells how a fused score comes about.
function components(id, response) {
  const fused = response.rankings.flatMap((r) => r.hits).find((hit) => hit.id === id && hit.components);
  if (!fused) return null;
  const top = Math.max(...fused.components.map((c) => c.contribution)) || 1;
  return section('Parts of the fused score', h('ul', { class: 'parts' }, fused.components.map((c) => h('li', null,
    h('span', null, c.system, h('small', null, ` ${c.rank ? format.ordinal(c.rank) : `> ${response.depth}`}, weight ${Number(c.weight.toPrecision(3))}`)),
    h('span', { class: 'meter', 'aria-hidden': 'true' }, h('i', { vars: { width: `${(c.contribution / top) * 100}%` } })),
    h('span', { class: 'score' }, format.score(c.contribution))))));
}

// explanations are asked for when they are unfolded: they cost more than the rest.
function explanations(id, signal) {
  const body = h('div', { class: 'explanations' });
  const load = async () => {
    if (body.childElementCount) return;
    body.append(h('p', { class: 'quiet' }, 'Asking…'));
    try {
      const answer = await api.compare(request(current(), { explain: true }), signal, { again: true });
      const trees = answer.rankings.flatMap((r) => r.hits.filter((hit) => hit.id === id && hit.explanation).map((hit) => [r.system, hit.explanation]));
      body.replaceChildren(...(trees.length ? trees.map(([system, tree]) => explanation(system, tree)) : [h('p', { class: 'quiet' }, 'No ranking on the board explains this product: it is not among the products shown.')]));
    } catch (e) {
      if (e.name !== 'AbortError') body.replaceChildren(failure(e));
    }
  };
  const fold = h('details', { class: 'why' }, h('summary', null, 'Why these scores'), body);
  fold.addEventListener('toggle', () => {
    explaining = fold.open;
    if (fold.open) load();
  });
  fold.open = explaining;
  return fold;
}

function description(p) {
  const extra = Object.entries(p.extra ?? {});
  return [
    p.bullets?.length && h('ul', { class: 'bullets' }, p.bullets.map((b) => h('li', null, b))),
    p.description && h('p', { class: 'prose' }, p.description),
    h('dl', { class: 'extra' },
      h('div', null, h('dt', null, 'id'), h('dd', null, h('code', null, p.id))),
      p.color && h('div', null, h('dt', null, 'colour'), h('dd', null, p.color)),
      p.popularity && h('div', null, h('dt', null, 'popularity'), h('dd', null, format.count(p.popularity))),
      extra.map(([k, v]) => h('div', null, h('dt', null, k), h('dd', null, typeof v === 'string' ? v : JSON.stringify(v))))),
  ];
}

function similarTo(id, info, signal) {
  const dense = info.systems.filter((x) => x.kind === 'dense').map((x) => x.name);
  if (!dense.length) return null;
  const list = h('ul', { class: 'similar' });
  const load = async (system) => {
    try {
      const ranking = await api.similar(id, system, signal);
      list.replaceChildren(...ranking.hits.map((hit) => h('li', null, pinLink(hit, picture(hit, 'small'), h('span', null, hit.title), h('span', { class: 'score' }, format.score(hit.score))))));
    } catch (e) {
      if (e.name !== 'AbortError') list.replaceChildren(h('li', null, failure(e)));
    }
  };
  const choice = h('select', { 'aria-label': 'Ranking that finds similar products', onchange: () => load(choice.value) }, dense.map((name) => h('option', { value: name }, name)));
  load(dense[0]);
  return h('section', null, h('h3', null, 'Similar products', dense.length > 1 ? choice : h('span', null, ` by ${dense[0]}`)), list);
}

function heading(p, label) {
  const category = (name) => h('button', { type: 'button', class: 'crumb', title: `Only ${name}`, onclick: () => change({ categories: [name] }) }, name);
  return h('div', { class: 'product' }, picture(p, 'big'),
    h('div', null,
      h('h2', null, p.title),
      h('p', { class: 'offer' },
        p.brand && h('button', { type: 'button', class: 'crumb', title: `Only ${p.brand}`, onclick: () => change({ brands: [p.brand] }) }, p.brand),
        p.price ? h('span', { class: 'price' }, format.price(p.price, p.currency)) : null, stars(p)),
      p.category && h('p', { class: 'crumbs' }, p.category.map(category)),
      label && h('p', { class: 'judged' }, badge(label), label === 'unjudged' ? ' Not judged for this query' : ` Judged ${format.labelName(label).toLowerCase()}`)));
}

// open shows a product. What the board knows is there at once, the rest follows.
export async function open(id, response, info) {
  pending?.abort();
  pending = new AbortController();
  const { signal } = pending;
  const drawer = byId('drawer');
  if (drawer.hidden) opener = document.activeElement;
  const hit = response.rankings.flatMap((r) => r.hits).find((x) => x.id === id);
  const top = h('div', null, hit ? heading(hit, hit.label) : null);
  const about = section('Product', h('p', { class: 'quiet' }, 'Loading…'));
  const close = h('button', { type: 'button', class: 'close', 'aria-label': 'Close details', onclick: () => change({ pin: '' }) }, '×');
  show(drawer, close, top,
    section('In each ranking', placements(id, response)),
    components(id, response), explanations(id, signal), about, similarTo(id, info, signal));
  drawer.scrollTop = 0;
  document.body.classList.add('with-drawer');
  try {
    const p = await api.product(id, signal);
    if (!hit) top.replaceChildren(heading(p));
    about.replaceChildren(h('h3', null, 'Product'), ...description(p).filter(Boolean));
  } catch (e) {
    if (e.name !== 'AbortError') about.replaceChildren(h('h3', null, 'Product'), failure(e));
  }
}

// shut closes the drawer and gives the focus back.
export function shut() {
  pending?.abort();
  const drawer = byId('drawer');
  if (drawer.hidden) return;
  const had = drawer.contains(document.activeElement) || document.activeElement === document.body;
  drawer.hidden = true;
  drawer.replaceChildren();
  document.body.classList.remove('with-drawer');
  if (had && opener?.isConnected) opener.focus({ preventScroll: true });
}
