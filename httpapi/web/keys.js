import { byId } from './dom.js';
import { change, current } from './state.js';
import { toggleOptions } from './search.js';

const columns = () => [...byId('board').querySelectorAll('.column')].map((c) => [...c.querySelectorAll('a.card')]).filter((cards) => cards.length);

// focusCard moves the one place of the board that Tab reaches.
function focusCard(card) {
  if (!card) return;
  for (const other of byId('board').querySelectorAll('.card[tabindex="0"]')) other.tabIndex = -1;
  card.tabIndex = 0;
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

function move(down, right) {
  const all = columns();
  if (!all.length) return;
  const active = document.activeElement;
  let c = all.findIndex((cards) => cards.includes(active));
  if (c < 0) { // from anywhere else: to the pinned product, or the first
    focusCard(all.flat().find((card) => card.dataset.id === current().pin) ?? all[0][0]);
    return;
  }
  const row = all[c].indexOf(active);
  c = Math.min(Math.max(c + right, 0), all.length - 1);
  focusCard(all[c][Math.min(Math.max(row + down, 0), all[c].length - 1)]);
}

const moves = { j: [1, 0], ArrowDown: [1, 0], k: [-1, 0], ArrowUp: [-1, 0], l: [0, 1], ArrowRight: [0, 1], h: [0, -1], ArrowLeft: [0, -1] };

function escape(e) {
  if (byId('help').open) return; // closes itself
  const typing = e.target.matches?.('input, select');
  if (!byId('options').hidden && (!typing || byId('options').contains(e.target))) {
    toggleOptions(false);
    byId('options-button').focus();
  } else if (typing) {
    e.target.blur();
  } else if (current().pin) {
    change({ pin: '' });
  } else {
    document.activeElement?.blur?.();
  }
}

function onKey(e) {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === 'Escape') { escape(e); return; }
  if (byId('help').open) return;
  const field = e.target.matches?.('input, select, textarea');
  if (field) {
    if (e.key === 'ArrowDown' && e.target.id === 'q') { e.preventDefault(); move(0, 0); }
    return;
  }
  const inDrawer = byId('drawer').contains(e.target);
  if (e.key === '/') {
    e.preventDefault();
    byId('q').focus();
    byId('q').select();
  } else if (e.key === '?') {
    byId('help').showModal();
  } else if (e.key === 'o') {
    e.preventDefault();
    toggleOptions();
  } else if (moves[e.key] && !(inDrawer && e.key.startsWith('Arrow'))) {
    e.preventDefault();
    move(...moves[e.key]);
  }
}

export function start() {
  document.addEventListener('keydown', onKey);
  byId('help-button').addEventListener('click', () => byId('help').showModal());
  byId('help').addEventListener('click', (e) => { if (e.target === byId('help')) byId('help').close(); });
}
