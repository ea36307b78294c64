import { h, byId, show } from './dom.js';
import * as format from './format.js';
import { card } from './card.js';
import { distribution } from './histogram.js';
import { current } from './state.js';

// baselineOf is the ranking that movements refer to; none if it failed, for then
// every product would look new.
export function baselineOf(rankings) {
  const baseline = rankings.find((r) => r.system === 'pretrained') ?? rankings[0];
  return baseline?.error ? undefined : baseline?.system;
}

// stages shows what a ranking spent its time on. Scores for the histogram are
// computed after the ranking, and do not count.
function stages(ranking) {
  const parts = (ranking.stages ?? []).filter((x) => x.name !== 'distribution');
  const extra = ranking.stages?.find((x) => x.name === 'distribution');
  const total = parts.reduce((sum, x) => sum + x.ms, 0) || 1;
  return h('div', { class: 'stages' },
    h('div', { class: 'bar', 'aria-hidden': 'true' }, parts.map((x) => h('i', { vars: { width: `${(x.ms / total) * 100}%` } }))),
    h('p', null,
      parts.map((x) => h('span', { class: 'stage' }, h('i', { 'aria-hidden': 'true' }), `${x.name} ${format.ms(x.ms)}`)),
      extra && h('span', { class: 'stage', title: 'computing all scores for the histogram; not part of the ranking’s time' }, `+ scores ${format.ms(extra.ms)}`)));
}

// labels counts the judgements among the hits.
function labels(ranking) {
  const seen = ranking.hits.map((hit) => hit.label);
  const n = format.labelsOf(seen).map((label) => [label, seen.filter((x) => x === label).length]);
  return h('div', { class: 'labels', role: 'group', 'aria-label': 'Judgements among these products' },
    n.map(([label, count]) => h('span', { class: count ? '' : 'zero', title: `${format.labelName(label)}: ${count} of ${ranking.hits.length}` },
      h('b', { class: 'label', data: { label: format.labelClass(label) } }, label === 'unjudged' ? '·' : label), ` ${count}`)),
    h('span', { class: 'where' }));
}

function header(ranking, system) {
  const detail = (system?.kind === 'fused' && current().fusion) || system?.detail;
  return h('header', { class: 'column-head' },
    h('div', { class: 'name' }, h('h2', null, ranking.system), h('span', { class: 'kind' }, system?.kind ?? ''), h('span', { class: 'took' }, ranking.error ? '' : format.ms(ranking.took_ms))),
    h('p', { class: 'detail', title: detail }, detail ?? ''),
    !ranking.error && stages(ranking),
    !ranking.error && labels(ranking));
}

function list(ranking, baseline) {
  if (ranking.error) {
    return h('div', { class: 'failed', role: 'alert' }, h('strong', null, 'This ranking failed'), h('p', null, ranking.error), h('p', { class: 'aside' }, 'The others are not affected.'));
  }
  if (!ranking.hits.length) return h('div', { class: 'nothing' }, h('strong', null, 'No product matches'), h('p', null, 'This ranking found nothing for the query and its filters.'));
  return h('div', { class: 'list' }, h('ol', null, ranking.hits.map((hit) => card(hit, ranking.system, baseline))), h('p', { class: 'offlist', 'aria-hidden': 'true' }));
}

function column(ranking, system, baseline, withScores) {
  return h('section', { class: 'column', data: { system: ranking.system }, 'aria-label': `Ranking ${ranking.system}` },
    header(ranking, system), list(ranking, baseline),
    withScores && !ranking.error ? distribution(ranking, system?.kind) : h('section', { class: 'scores' }));
}

// board shows the rankings of a response.
export function board(response, info) {
  const systems = new Map(info.systems.map((x) => [x.name, x]));
  const baseline = baselineOf(response.rankings);
  const root = byId('board');
  root.style.setProperty('--columns', response.rankings.length);
  root.classList.remove('skeleton');
  const withScores = current().scores !== '0';
  show(root, response.rankings.map((r) => column(r, systems.get(r.system), baseline, withScores)));
  const first = root.querySelector('.card');
  if (first) first.tabIndex = 0;
  tabs(response.rankings.map((r) => r.system));
}

// skeleton holds the place of rankings that are still computed.
export function skeleton(info, s) {
  const root = byId('board');
  const names = s.systems.length ? s.systems : info.systems.map((x) => x.name);
  root.style.setProperty('--columns', names.length);
  root.classList.add('skeleton');
  show(root, names.map((name) => h('section', { class: 'column' },
    h('header', { class: 'column-head' }, h('div', { class: 'name' }, h('h2', null, name)), h('p', { class: 'bone wide' }), h('p', { class: 'bone' })),
    h('div', { class: 'list' }, h('ol', { 'aria-hidden': 'true' }, Array.from({ length: 6 }, () => h('li', null, h('span', { class: 'card' }, h('span', { class: 'gutter' }), h('span', { class: 'tile' }), h('span', { class: 'words' }, h('span', { class: 'bone wide' }), h('span', { class: 'bone' }))))))),
    h('section', { class: 'scores' }))));
  tabs(names);
}

// tabs name the columns on a phone, where one is seen at a time.
function tabs(names) {
  const root = byId('tabs');
  const board = byId('board');
  show(root, names.map((name, i) => h('button', {
    type: 'button', 'aria-pressed': String(i === 0),
    onclick: () => board.scrollTo({ left: board.children[i].offsetLeft - board.offsetLeft, behavior: 'auto' }),
  }, name)));
  board.onscroll = () => {
    const at = Math.round(board.scrollLeft / board.clientWidth);
    for (const [i, b] of [...root.children].entries()) b.setAttribute('aria-pressed', String(i === at));
  };
  board.scrollLeft = 0;
}
