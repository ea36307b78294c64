import { h } from './dom.js';
import * as format from './format.js';
import { link } from './state.js';

// hue gives each department a colour of its own, the same on every visit.
export function hue(text) {
  let x = 7;
  for (const c of text) x = (x * 31 + c.codePointAt(0)) % 9973;
  return (x * 137) % 360;
}

function initials(hit) {
  const words = (hit.brand || hit.title).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  return words.slice(0, 2).map((w) => [...w][0]).join('').toUpperCase() || '?';
}

// picture shows a product, or where there is no picture a tile in the colour of its
// department.
export function picture(hit, size = '') {
  const tile = () => h('span', { class: `tile ${size}`, vars: { '--h': hue(hit.category?.[0] ?? '') }, 'aria-hidden': 'true' }, initials(hit));
  if (!/^(https?:\/\/|data:image\/)/i.test(hit.image ?? '')) return tile();
  const img = h('img', { class: `tile ${size}`, alt: '', loading: 'lazy', decoding: 'async', referrerpolicy: 'no-referrer' });
  img.addEventListener('error', () => img.replaceWith(tile()), { once: true });
  img.src = hit.image;
  return img;
}

export function badge(label) {
  return h('b', { class: 'label', data: { label: format.labelClass(label) }, title: format.labelName(label) }, label === 'unjudged' ? '·' : label);
}

export function stars(hit) {
  if (!hit.rating && !hit.popularity) return h('span', { class: 'stars none' }, 'no ratings');
  return h('span', { class: 'rating' },
    hit.rating && h('span', { class: 'stars', role: 'img', 'aria-label': `${hit.rating} of 5 stars`, title: `${hit.rating} of 5`, vars: { '--share': `${(hit.rating / 5) * 100}%` } }),
    hit.popularity && h('span', { class: 'popularity', title: `popularity ${format.count(hit.popularity)}` }, format.short(hit.popularity)));
}

// movement compares a rank with that in the baseline ranking.
export function movement(hit, system, baseline) {
  if (!baseline || system === baseline) return null;
  const there = hit.ranks?.[baseline];
  if (!there) return h('span', { class: 'move new', title: `not among the first 100 of ${baseline}` }, 'new');
  const title = `${format.ordinal(there)} in ${baseline}`;
  const by = there - hit.rank;
  if (by === 0) return h('span', { class: 'move', title }, '=');
  return h('span', { class: by > 0 ? 'move up' : 'move down', title, 'aria-label': `${by > 0 ? 'up' : 'down'} ${Math.abs(by)}` }, `${by > 0 ? '▲' : '▼'}${Math.abs(by)}`);
}

// card is a link to the same page with the product pinned.
export function card(hit, system, baseline) {
  return h('li', null, h('a', { class: 'card', href: link({ pin: hit.id }), tabindex: '-1', data: { id: hit.id, system } },
    h('span', { class: 'gutter' }, h('span', { class: 'rank' }, hit.rank), badge(hit.label)),
    picture(hit),
    h('span', { class: 'words' },
      h('span', { class: 'title', title: hit.title }, hit.title),
      h('span', { class: 'offer' }, hit.brand && h('span', { class: 'brand' }, hit.brand), hit.price ? h('span', { class: 'price' }, format.price(hit.price, hit.currency)) : null),
      h('span', { class: 'numbers' }, stars(hit), h('span', { class: 'value' }, movement(hit, system, baseline), h('span', { class: 'score', title: `score ${hit.score}` }, format.score(hit.score)))))));
}
