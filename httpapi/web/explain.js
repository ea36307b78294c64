import { h } from './dom.js';
import * as format from './format.js';

function node(x, depth) {
  const line = [h('span', { class: 'score' }, format.score(x.value)), h('span', null, x.text)];
  if (!x.children?.length) return h('li', null, h('div', { class: 'line' }, line));
  const fold = h('details', null, h('summary', { class: 'line' }, line), h('ul', null, x.children.map((c) => node(c, depth + 1))));
  fold.open = depth < 2;
  return h('li', null, fold);
}

// explanation shows the tree of values of which a score is made.
export function explanation(system, tree) {
  return h('div', { class: 'tree' }, h('h4', null, system), h('ul', null, node(tree, 0)));
}
