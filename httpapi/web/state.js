// The address is the state: whatever is on the screen can be linked to.

const one = { q: '', k: '', fusion: '', min_price: '', max_price: '', pin: '', scores: '' };
const many = { systems: 'systems', brands: 'brand', categories: 'category' };

let state = read();
const listeners = [];

function read() {
  const p = new URLSearchParams(location.search);
  const s = {};
  for (const name of Object.keys(one)) s[name] = p.get(name) ?? '';
  for (const [name, parameter] of Object.entries(many)) s[name] = p.getAll(parameter).filter(Boolean);
  s.systems = s.systems.flatMap((v) => v.split(',')).filter(Boolean);
  return s;
}

function parameters(s, skip = []) {
  const p = new URLSearchParams();
  for (const name of Object.keys(one)) if (s[name] && !skip.includes(name)) p.set(name, s[name]);
  if (s.systems.length) p.set('systems', s.systems.join(','));
  for (const b of s.brands) p.append('brand', b);
  for (const c of s.categories) p.append('category', c);
  return p;
}

export const current = () => state;

// link is the address of the state with some changes.
export function link(changes) {
  const query = parameters({ ...state, ...changes }).toString();
  return query ? `?${query}` : './';
}

// change moves to another state, a new entry of the history.
export function change(changes) {
  const before = state;
  const target = link(changes);
  state = { ...state, ...changes };
  if (parameters(before).toString() === parameters(state).toString()) return;
  history.pushState(null, '', target);
  for (const f of listeners) f(state, before, { again: false });
}

// onChange calls f with the new state, the old one, and whether it was there before.
export function onChange(f) { listeners.push(f); }

addEventListener('popstate', () => {
  const before = state;
  state = read();
  for (const f of listeners) f(state, before, { again: true });
});

// request is the query string for /v1/compare.
export function request(s, { explain = false } = {}) {
  const p = parameters(s, ['pin', 'scores']);
  if (explain) p.set('explain', '1');
  else if (s.scores !== '0') p.set('distribution', '1');
  return p;
}

// sameSearch tells whether two states show the same rankings.
export const sameSearch = (a, b) => request(a).toString() === request(b).toString();
