import { h, byId } from './dom.js';

// Gauges of GPUs are among the metrics if the server has any; they are asked for
// again only while there are some and somebody looks.

const EVERY = 5000;

function parse(text) {
  const gpus = new Map();
  for (const [, name, gpu, value] of text.matchAll(/^trirank_gpu_(\w+)\{[^}]*?gpu="([^"]*)"[^}]*\} (\S+)$/gm)) {
    if (!gpus.has(gpu)) gpus.set(gpu, {});
    gpus.get(gpu)[name] = Number(value);
  }
  return gpus;
}

const gib = (bytes) => (bytes / 2 ** 30).toFixed(1);

function show(gpus) {
  byId('gauges').replaceChildren(...[...gpus].map(([gpu, x]) => h('span', { class: 'gauge' }, `GPU ${gpu}`,
    x.utilization_ratio !== undefined && ` · ${Math.round(x.utilization_ratio * 100)} %`,
    x.memory_used_bytes !== undefined && ` · ${gib(x.memory_used_bytes)}${x.memory_total_bytes ? ` of ${gib(x.memory_total_bytes)}` : ''} GiB`,
    x.temperature_celsius !== undefined && ` · ${x.temperature_celsius} °C`)));
}

export async function start() {
  try {
    const gpus = parse(await (await fetch('metrics')).text());
    show(gpus);
    if (!gpus.size) return;
  } catch { /* the metrics may be out of reach for browsers */ }
  setTimeout(() => (document.hidden ? document.addEventListener('visibilitychange', start, { once: true }) : start()), EVERY);
}
