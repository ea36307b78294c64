// Problem is what the server says when it cannot answer (RFC 9457), or what we say
// for it when it is out of reach.
export class Problem extends Error {
  constructor({ title, detail, status, instance, retryAfter }) {
    super(detail || title);
    Object.assign(this, { title, detail, status, instance, retryAfter });
  }
}

// get reads JSON. Addresses are relative: the page may live below a proxy's path.
export async function get(path, signal) {
  let response;
  try {
    response = await fetch(path, { signal, headers: { Accept: 'application/json' } });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Problem({ title: 'No connection', detail: 'The server does not answer. It may be starting, or stopped.', status: 0 });
  }
  if (response.ok) return response.json();
  let problem = {};
  try { problem = await response.json(); } catch { /* not from our server but from something before it */ }
  throw new Problem({
    title: problem.title ?? response.statusText, detail: problem.detail, status: response.status,
    instance: problem.instance, retryAfter: response.headers.get('Retry-After'),
  });
}

export const info = () => get('v1/info');
export const product = (id, signal) => get(`v1/products/${encodeURIComponent(id)}`, signal);
export const similar = (id, system, signal) => get(`v1/products/${encodeURIComponent(id)}/similar?${new URLSearchParams({ k: 6, ...(system && { system }) })}`, signal);

const kept = new Map(); // the latest answers

// compare asks for rankings; query is a URLSearchParams of /v1/compare. An answer
// that was had before does only where the visitor goes back to it: the index may be
// another one by now.
export async function compare(query, signal, { again = false } = {}) {
  const key = query.toString();
  if (again && kept.has(key)) return kept.get(key);
  const answer = await get(`v1/compare?${key}`, signal);
  if (!answer.rankings.some((r) => r.error)) kept.set(key, answer);
  if (kept.size > 30) kept.delete(kept.keys().next().value);
  return answer;
}
