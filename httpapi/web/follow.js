import { byId, s } from './dom.js';
import * as format from './format.js';

// A product is followed across the columns: its cards are marked, lines join them,
// and columns that do not show it say where it is.

let ranks = new Map(); // id -> Map(system -> rank)
let shown = null; // the response on the board
let pinned = '';
let hovered = '';
let wires = null;

// load takes note of where each product is.
export function load(response) {
  shown = response;
  hovered = '';
  ranks = new Map();
  for (const r of response?.rankings ?? []) {
    for (const hit of r.hits) {
      const known = ranks.get(hit.id) ?? new Map();
      known.set(r.system, hit.rank);
      for (const [system, rank] of Object.entries(hit.ranks ?? {})) known.set(system, rank);
      ranks.set(hit.id, known);
    }
  }
  wires = s('svg', { class: 'wires', 'aria-hidden': 'true' });
  byId('board').append(wires);
}

export const ranksOf = (id) => ranks.get(id) ?? new Map();

export function pin(id) { pinned = id; draw(); }
export function hover(id) {
  if (id === hovered) return;
  hovered = id;
  draw();
}

// A marked card is that much wider than its text.
const BLEED = 6;

const columns = () => [...byId('board').querySelectorAll('.column')];

function mark(column, id, className) {
  for (const node of column.querySelectorAll('[data-id]')) node.classList.toggle(className, id !== '' && node.dataset.id === id);
}

// place finds what stands for a product in a column: its card, or the line below
// the list.
function place(column, id) {
  const card = [...column.querySelectorAll('.card')].find((c) => c.dataset.id === id);
  return card ?? column.querySelector('.offlist');
}

function wire(board, id, className) {
  const box = board.getBoundingClientRect();
  let before = null;
  for (const column of columns()) {
    const node = place(column, id);
    if (!node) { before = null; continue; }
    const b = node.getBoundingClientRect();
    const here = { left: b.left - box.left + board.scrollLeft - BLEED, right: b.right - box.left + board.scrollLeft + BLEED, y: b.top - box.top + b.height / 2, off: node.classList.contains('offlist') };
    if (before && !(before.off && here.off)) {
      const middle = (before.right + here.left) / 2;
      wires.append(s('path', {
        class: `${className}${before.off || here.off ? ' off' : ''}`,
        d: `M${before.right} ${before.y}C${middle} ${before.y} ${middle} ${here.y} ${here.left} ${here.y}`,
      }));
    }
    before = here;
  }
}

export function draw() {
  const board = byId('board');
  if (!wires || board.hidden) return;
  if (pinned && !ranks.has(pinned)) wires.replaceChildren();
  const id = hovered || pinned;
  const known = ranksOf(id);
  for (const column of columns()) {
    mark(column, id, 'followed');
    mark(column, pinned, 'pinned');
    for (const card of column.querySelectorAll('.card')) {
      if (card.dataset.id === pinned) card.setAttribute('aria-current', 'true');
      else card.removeAttribute('aria-current');
    }
    const off = column.querySelector('.offlist');
    const where = column.querySelector('.where'); // the same, in view when the end of the list is not
    if (!off) continue;
    const rank = known.get(column.dataset.system);
    const here = rank !== undefined && rank <= column.querySelectorAll('.card').length;
    off.textContent = !known.size || here ? '' : rank ? `${format.ordinal(rank)} here` : `beyond the first ${shown.depth}`;
    where.textContent = off.textContent && rank ? `↓ ${format.ordinal(rank)}` : off.textContent && `> ${shown.depth}`;
  }
  wires.replaceChildren();
  wires.setAttribute('width', board.scrollWidth);
  wires.setAttribute('height', board.scrollHeight);
  if (pinned && pinned !== id && ranks.has(pinned)) wire(board, pinned, 'wire faint');
  if (id && ranks.has(id)) wire(board, id, 'wire');
}

// start follows the pointer and the keyboard.
export function start() {
  const board = byId('board');
  const idOf = (node) => node.closest?.('[data-id]')?.dataset.id ?? '';
  board.addEventListener('pointerover', (e) => { if (e.pointerType === 'mouse') hover(idOf(e.target)); });
  board.addEventListener('pointerleave', () => hover(''));
  board.addEventListener('focusin', (e) => hover(idOf(e.target)));
  board.addEventListener('focusout', (e) => { if (!board.contains(e.relatedTarget)) hover(''); });
  new ResizeObserver(draw).observe(board);
}
