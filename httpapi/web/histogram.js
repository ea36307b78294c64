import { h, s } from './dom.js';
import * as format from './format.js';

// ticks returns about n round numbers within low..high.
function ticks(low, high, n) {
  const raw = (high - low) / n;
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((x) => x >= raw);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(i * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return out.map((x) => ({ x, text: x.toFixed(digits) }));
}

const W = 480;
const H = 100;

// axis draws round numbers below a scale.
function axis(low, high, at) {
  return h('div', { class: 'axis', 'aria-hidden': 'true' }, ticks(low, high, 4).map((t) => {
    const x = at(t.x);
    return h('span', { class: x < 5 ? 'first' : x > 95 ? 'last' : '', vars: { left: `${x}%` } }, t.text);
  }));
}

// rug marks where the hits of a ranking lie.
function rug(hits, at) {
  return h('div', { class: 'rug' }, hits.map((hit) => h('i', { data: { id: hit.id }, title: `${format.ordinal(hit.rank)}: ${format.score(hit.score)}`, vars: { left: `${at(hit.score)}%` } })));
}

function bars(d, at, top) {
  const { min, max, counts } = d.histogram;
  const width = (max - min) / counts.length;
  const path = counts.map((n, i) => {
    if (!n) return '';
    const x = (at(min + i * width) * W) / 100;
    const right = max > min ? (at(min + (i + 1) * width) * W) / 100 : x + 4;
    return `M${x.toFixed(2)} ${H}V${(H - (n / top) * H).toFixed(2)}H${Math.max(x + 1, right - 0.8).toFixed(2)}V${H}Z`;
  });
  return s('path', { class: 'bars', d: path.join('') });
}

function curve(d, low, high, at, total, top) {
  const { min, max, counts } = d.histogram;
  const width = (max - min) / counts.length;
  const points = [];
  for (let i = 0; i <= 120; i++) {
    const x = low + ((high - low) * i) / 120;
    const z = (x - d.mean) / d.deviation;
    const n = (total * width * Math.exp(-z * z / 2)) / (d.deviation * Math.sqrt(2 * Math.PI));
    points.push(`${((at(x) * W) / 100).toFixed(2)} ${(H - (n / top) * H).toFixed(2)}`);
  }
  return s('path', { class: 'normal', 'vector-effect': 'non-scaling-stroke', d: `M${points.join('L')}` });
}

const fact = (name, value, title) => h('div', { title }, h('dt', null, name), h('dd', null, value));

// window shows which part of 0..1 the axis is, for cosines: E5's lie close together,
// and an axis that fills the width would hide it.
function cosineWindow(low, high) {
  return h('div', { class: 'window', title: `The axis above is ${format.score(low)} to ${format.score(high)} of cosines from 0 to 1.` },
    h('span', null, '0'), h('div', null, h('i', { vars: { left: `${Math.max(0, low) * 100}%`, width: `${(Math.min(1, high) - Math.max(0, low)) * 100}%` } })), h('span', null, '1'));
}

function normality(d) {
  if (!d.normality) return null;
  const rejected = d.normality.p < 0.05;
  return h('p', { class: 'verdict', title: `${d.normality.test}, statistic ${format.score(d.normality.statistic)}` },
    h('b', null, rejected ? 'Not normal' : 'Could be normal'), ` (${format.pValue(d.normality.p)})`);
}

// distribution describes the scores of a ranking: histogram, fitted normal, and
// where its hits lie.
export function distribution(ranking, kind) {
  const d = ranking.distribution;
  if (!d) return fusedScores(ranking, kind);
  const scored = d.scope === 'sample' ? `an even sample of ${format.count(d.products)} products` : `all ${format.count(d.products)} products`;
  const zeros = d.zeros ? `${format.plural(d.zeros, 'product')} ${kind === 'lexical' ? `${d.zeros === 1 ? 'matches' : 'match'} no term` : `${d.zeros === 1 ? 'scores' : 'score'} 0`}` : '';
  if (!d.histogram) return h('section', { class: 'scores' }, h('h3', null, 'Scores'), h('p', null, `${zeros || 'Nothing to show'}, of ${scored}.`));

  let low = d.histogram.min;
  let high = d.histogram.max;
  for (const hit of ranking.hits) { // beyond the sample's extremes, perhaps
    low = Math.min(low, hit.score);
    high = Math.max(high, hit.score);
  }
  if (high <= low) { low -= 0.5; high += 0.5; }
  const at = (x) => ((x - low) / (high - low)) * 100;
  const total = d.products - (d.zeros ?? 0);
  const top = Math.max(...d.histogram.counts) * 1.04;
  const label = `Histogram of scores: mean ${format.score(d.mean)}, standard deviation ${format.score(d.deviation)}`;
  return h('section', { class: 'scores' },
    h('h3', null, 'Scores', h('span', null, ` of ${scored}`)),
    h('div', { class: 'plot' },
      s('svg', { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, bars(d, at, top), d.normality && curve(d, low, high, at, total, top))),
    rug(ranking.hits, at),
    axis(low, high, at),
    kind === 'dense' && low >= 0 && high <= 1.001 && cosineWindow(low, high),
    h('dl', { class: 'facts' },
      fact('mean', format.score(d.mean)), fact('sd', format.score(d.deviation), 'standard deviation'),
      fact('skew', d.skewness.toFixed(2), 'skewness; 0 for a normal distribution'), fact('kurtosis', d.kurtosis.toFixed(2), 'excess kurtosis; 0 for a normal distribution')),
    normality(d),
    zeros && h('p', { class: 'aside' }, `${zeros}; left out.`));
}

// fusedScores marks the hits only: a fused ranking scores its candidates and no
// other product.
function fusedScores(ranking, kind) {
  if (kind !== 'fused' || !ranking.hits.length) return h('section', { class: 'scores' });
  const all = ranking.hits.map((hit) => hit.score);
  let [low, high] = [Math.min(...all), Math.max(...all)];
  if (high <= low) { low *= 0.9; high = high * 1.1 || 1; }
  const at = (x) => ((x - low) / (high - low)) * 100;
  return h('section', { class: 'scores' }, h('h3', null, 'Scores', h('span', null, ` of these ${ranking.hits.length}`)),
    rug(ranking.hits, at), axis(low, high, at),
    h('p', { class: 'aside' }, 'A fusion scores only what its rankings found, so it has no distribution over the catalogue.'));
}
