import { h, s, byId, show } from './dom.js';
import * as format from './format.js';
import { change, current } from './state.js';

let info = null;

// field is a labelled input of the options.
function field(label, input, hint) {
  input.id = `option-${input.name}`;
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, hint && h('p', { class: 'hint' }, hint));
}

const input = (name, value, props) => h('input', { name, value, autocomplete: 'off', ...props });

// tokens is a field for several values: Enter adds one.
function tokens(label, name, key, placeholder) {
  const box = input(name, '', { placeholder, list: `known-${name}` });
  const add = () => {
    const value = box.value.trim();
    box.value = '';
    if (value && !current()[key].some((v) => v.toLowerCase() === value.toLowerCase())) change({ [key]: [...current()[key], value], pin: '' });
  };
  box.addEventListener('keydown', (e) => {
    if (e.key === 'Enter') { e.preventDefault(); add(); }
  });
  box.addEventListener('change', add);
  const wrap = field(label, box);
  wrap.append(h('datalist', { id: `known-${name}` }));
  return wrap;
}

// typed changes a part of the state when an input is left or Enter is pressed.
function typed(name, props) {
  const box = input(name, current()[name], props);
  box.addEventListener('change', () => {
    if (!box.checkValidity()) { box.reportValidity(); return; }
    change({ [name]: box.value.trim(), pin: '' });
  });
  return box;
}

function toggles() {
  const chosen = current().systems;
  return h('fieldset', { class: 'field' }, h('legend', null, 'Rankings'), h('div', { class: 'toggles' }, info.systems.map((x) => {
    const box = h('input', { type: 'checkbox', value: x.name });
    box.checked = !chosen.length || chosen.includes(x.name);
    return h('label', { title: x.detail }, box, x.name);
  })));
}

// options builds the panel anew, so that it always says what the address says.
export function options() {
  const panel = byId('options');
  const focused = panel.contains(document.activeElement) ? document.activeElement.id : '';
  const k = typed('k', { type: 'number', min: '1', max: String(info.limits.max_k), placeholder: '10', inputmode: 'numeric' });
  const price = (name, placeholder) => typed(name, { type: 'number', min: '0', step: 'any', placeholder, inputmode: 'decimal', 'aria-label': `${placeholder} price` });
  const fusion = info.systems.filter((x) => x.kind !== 'fused').length > 1
    ? field('Fusion', typed('fusion', { type: 'text', class: 'mono', placeholder: info.fusion || 'rrf(60):bm25=1,pretrained=1', spellcheck: 'false' }), 'rrf(60):a=1,b=1 or convex:a=0.3,b=0.7')
    : null;
  const scores = h('input', { type: 'checkbox' });
  scores.checked = current().scores !== '0';
  scores.addEventListener('change', () => change({ scores: scores.checked ? '' : '0' }));
  const systems = toggles();
  systems.addEventListener('change', () => {
    const all = [...systems.querySelectorAll('input')];
    const on = all.filter((b) => b.checked).map((b) => b.value);
    if (!on.length) { options(); return; }
    change({ systems: on.length === all.length ? [] : on });
  });
  const hidden = panel.hidden;
  show(panel, h('div', { class: 'fields' },
    systems,
    field('Products each', k),
    fusion,
    tokens('Brand', 'brand', 'brands', 'any'),
    tokens('Category', 'category', 'categories', 'any'),
    h('div', { class: 'field' }, h('span', { class: 'as-label' }, 'Price'), h('div', { class: 'pair' }, price('min_price', 'lowest'), h('span', { 'aria-hidden': 'true' }, '–'), price('max_price', 'highest'))),
    h('fieldset', { class: 'field' }, h('legend', null, 'Show'), h('div', { class: 'toggles' }, h('label', null, scores, 'score distributions')))));
  panel.hidden = hidden;
  if (focused) byId(focused)?.focus();
}

// known suggests the brands and categories of the products on the board.
export function known(response) {
  const brands = new Set();
  const categories = new Set();
  for (const r of response.rankings) {
    for (const hit of r.hits) {
      if (hit.brand) brands.add(hit.brand);
      for (const c of hit.category ?? []) categories.add(c);
    }
  }
  for (const [name, values] of [['brand', brands], ['category', categories]]) {
    byId(`known-${name}`)?.replaceChildren(...[...values].sort().map((value) => h('option', { value })));
  }
}

export function toggleOptions(open = byId('options').hidden) {
  byId('options').hidden = !open;
  byId('options-button').setAttribute('aria-expanded', String(open));
  if (open && !matchMedia('(pointer: coarse)').matches) byId('options').querySelector('input:not([type=checkbox])')?.focus(); // on a phone the keyboard would hide them
}

// filters lists what restricts the rankings, each to be removed by a click.
export function filters() {
  const now = current();
  const chip = (text, without) => h('button', { type: 'button', class: 'chip on', 'aria-label': `Remove ${text}`, onclick: () => change(without) }, text, h('span', { 'aria-hidden': 'true' }, '×'));
  const bound = now.min_price && now.max_price ? `${now.min_price} to ${now.max_price}` : now.min_price ? `from ${now.min_price}` : `up to ${now.max_price}`;
  byId('filters').replaceChildren(
    ...now.brands.map((b) => chip(b, { brands: now.brands.filter((x) => x !== b) })),
    ...now.categories.map((c) => chip(c, { categories: now.categories.filter((x) => x !== c) })),
    ...(now.min_price || now.max_price ? [chip(`Price ${bound}`, { min_price: '', max_price: '' })] : []),
    ...(now.fusion ? [chip(now.fusion, { fusion: '' })] : []));
}

const examples = () => (info.examples ?? []).map((q) => h('a', { class: 'chip', href: `?${new URLSearchParams({ q })}`, onclick: (e) => {
  if (e.metaKey || e.ctrlKey || e.shiftKey) return;
  e.preventDefault();
  change({ q, pin: '' });
} }, q));

// slopes is an ornament: the same products at different ranks.
function slopes() {
  const orders = [[0, 1, 2, 3, 4], [2, 0, 3, 1, 4], [0, 2, 1, 4, 3], [0, 2, 1, 3, 4]];
  const x = (column) => 10 + column * 92;
  const y = (column, product) => 14 + orders[column].indexOf(product) * 34;
  const lines = [];
  for (let product = 4; product >= 0; product--) {
    const lead = product === 2;
    for (let c = 0; c < orders.length; c++) {
      lines.push(s('path', { class: lead ? 'bars-all bar-lead' : 'bars-all', d: `M${x(c)} ${y(c, product)}h34` }));
      if (c + 1 < orders.length) {
        const [x0, x1] = [x(c) + 40, x(c + 1) - 6];
        const mid = (x0 + x1) / 2;
        lines.push(s('path', { class: lead ? 'lead' : '', d: `M${x0} ${y(c, product)}C${mid} ${y(c, product)} ${mid} ${y(c + 1, product)} ${x1} ${y(c + 1, product)}` }));
      }
    }
  }
  return s('svg', { class: 'slopes', viewBox: '0 0 330 164', 'aria-hidden': 'true' }, lines);
}

// startPage is shown before the first query.
export function startPage() {
  show(byId('start'), slopes(),
    h('h1', null, 'One query, every ranking.'),
    h('p', { class: 'lead' }, `${format.plural(info.products, 'product')} in ${info.catalogue || 'the catalogue'}, ranked ${info.systems.length} ways, side by side. Follow a product from column to column, and see why it stands where it does.`),
    info.examples?.length ? h('div', { class: 'examples' }, h('span', null, 'Try'), examples()) : null,
    h('dl', { class: 'systems' }, info.systems.map((x) => h('div', null, h('dt', null, x.name, h('span', { class: 'kind' }, x.kind)), h('dd', null, x.detail)))));
}

export function start(i, run) {
  info = i;
  options();
  byId('search').addEventListener('submit', (e) => {
    e.preventDefault();
    const q = byId('q').value.trim();
    if (!q) return;
    byId('q').blur();
    if (q === current().q) run(); // asked once more
    else change({ q, pin: '' });
  });
  byId('options-button').addEventListener('click', () => toggleOptions());
}
