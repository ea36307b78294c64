const whole = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const money = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const count = (n) => whole.format(n);
export const short = (n) => compact.format(n);

// price shows the currency where it is known: as its code, which Intl can spell, or
// as the sign of the source, which may be of several currencies.
export function price(n, currency) {
  if (!currency) return money.format(n);
  if (/^[A-Z]{3}$/.test(currency)) return new Intl.NumberFormat('en', { style: 'currency', currency }).format(n);
  return /^\p{Sc}$/u.test(currency) ? `${currency}${money.format(n)}` : `${money.format(n)} ${currency}`;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// score keeps four significant digits, zeros included, so that columns line up.
export function score(x) {
  if (x === 0) return '0';
  const size = Math.abs(x);
  return size < 1e-4 || size >= 1e6 ? x.toExponential(2) : size >= 1000 ? x.toFixed(0) : x.toPrecision(4);
}

export function ms(x) {
  return x < 0.1 ? '<0.1 ms' : x < 10 ? `${x.toFixed(1)} ms` : x < 1000 ? `${Math.round(x)} ms` : `${(x / 1000).toFixed(2)} s`;
}

export function pValue(p) {
  return p < 0.0001 ? 'p < 0.0001' : `p = ${p.toPrecision(2)}`;
}

export const ordinal = (n) => {
  const teen = n % 100 > 10 && n % 100 < 14;
  return `${n}${(!teen && { 1: 'st', 2: 'nd', 3: 'rd' }[n % 10]) || 'th'}`;
};

const LABELS = { E: 'Exact', S: 'Substitute', C: 'Complement', I: 'Irrelevant', unjudged: 'Not judged' };

// The greatest label where labels are numbers.
let greatest = 0;
export const setGreatestLabel = (x) => { greatest = x ?? 0; };

// labelName says what a label means.
export const labelName = (label) => LABELS[label] ?? (greatest ? `${label} of ${greatest}` : label);

// labelClass is the colour of a label: a number has that of the letter which its share of
// the greatest comes near to.
export function labelClass(label) {
  if (label in LABELS) return label;
  const share = Number(label) / (greatest || 1);
  if (share < 0) return 'unjudged';
  return share >= 0.75 ? 'E' : share >= 0.5 ? 'S' : share > 0 ? 'C' : 'I';
}

// labelsOf lists the labels to count: the letters, or the numbers that there are, the
// best first.
export const labelsOf = (seen) => [...(greatest ? [...new Set(seen.filter((x) => x !== 'unjudged'))].sort((a, b) => b - a) : ['E', 'S', 'C', 'I']), 'unjudged'];
