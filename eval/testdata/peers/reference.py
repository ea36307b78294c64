"""Computes metrics of the run in a folder with implementations that are not ours.

    python3 reference.py FOLDER

FOLDER holds qrels.trec, run.trec, other.trec and pairs.json, as peers_test.go
writes them. Prints JSON: metric -> query -> value, and statistics.
"""
import json
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import ir_measures
import pytrec_eval
import ranx
import rbo
import scipy.stats

warnings.filterwarnings("ignore")
folder = Path(sys.argv[1])


def read_qrels(path):
    qrels = defaultdict(dict)
    for line in open(path):
        query, _, product, label = line.split()
        qrels[query][product] = int(label)
    return dict(qrels)


def read_run(path):
    run = defaultdict(dict)
    for line in open(path):
        query, _, product, _, score, _ = line.split()
        run[query][product] = float(score)
    return dict(run)


qrels, run, other = read_qrels(folder / "qrels.trec"), read_run(folder / "run.trec"), read_run(folder / "other.trec")
for query in qrels:  # a query that was not answered counts as answered with nothing
    run.setdefault(query, {})
out = defaultdict(dict)

# trec_eval itself, by its binding.
names = {
    "ndcg@5": "ndcg_cut_5", "ndcg@10": "ndcg_cut_10", "ndcg@100": "ndcg_cut_100", "ndcg": "ndcg",
    "recall@10": "recall_10", "recall@100": "recall_100", "precision@5": "P_5", "precision@10": "P_10",
    "mrr": "recip_rank", "map": "map", "map@10": "map_cut_10", "map@100": "map_cut_100",
    "bpref": "bpref", "success@1": "success_1", "success@10": "success_10",
}
measures = {"ndcg", "ndcg_cut", "recall", "P", "recip_rank", "map", "map_cut", "bpref", "success"}
answered = {q: docs for q, docs in run.items() if docs}
for query, values in pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(answered).items():
    for ours, theirs in names.items():
        out[ours][query] = values[theirs]
# The same with labels from 2 on relevant, and with unjudged hits left out; what has a
# negative label is pooled and not judged.
for query, values in pytrec_eval.RelevanceEvaluator(qrels, {"map", "recall"}, relevance_level=2).evaluate(answered).items():
    out["map[>=2]"][query] = values["map"]
    out["recall[>=2]@10"][query] = values["recall_10"]
condensed = {q: {d: s for d, s in docs.items() if qrels[q].get(d, -1) >= 0} for q, docs in answered.items() if q in qrels}
for query, values in pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut"}).evaluate({q: d for q, d in condensed.items() if d}).items():
    out["cndcg@10"][query] = values["ndcg_cut_10"]

# ranx: what trec_eval does not have. Its RBP weighs by label, so labels are made 0 and 1.
binary = {q: {d: int(l >= 1) for d, l in docs.items()} for q, docs in qrels.items()}


def by_ranx(ours, theirs, labels):
    queries = [q for q in answered if q in labels]
    scores = ranx.evaluate(ranx.Qrels({q: labels[q] for q in queries}), ranx.Run({q: answered[q] for q in queries}), theirs, return_mean=False)
    keys = sorted(queries)  # ranx orders queries by id
    out[ours].update(dict(zip(keys, map(float, scores))))


by_ranx("rbp(0.8)", "rbp.80", binary)
by_ranx("mrr@10", "mrr@10", qrels)
by_ranx("dcg@10", "dcg@10", qrels)
by_ranx("ndcg{exp}@10", "ndcg_burges@10", qrels)

# ir_measures: Judged, and ERR by gdeval, which prints five decimals. Its Judged counts
# negative labels, so they are left out.
scored = [ir_measures.ScoredDoc(q, d, s) for q, docs in answered.items() for d, s in docs.items()]
judged = [ir_measures.Qrel(q, d, l) for q, docs in qrels.items() for d, l in docs.items() if l >= 0]
for name, theirs in {"judged@10": ir_measures.Judged @ 10, "err@10": ir_measures.ERR @ 10}.items():
    for m in ir_measures.iter_calc([theirs], judged, scored):
        out[name][m.query_id] = m.value

pairs = {"rbo": {}, "tau": {}}
ranked = lambda docs: [d for d, _ in sorted(docs.items(), key=lambda x: -x[1])]
for query in answered:
    if query not in other:
        continue
    a, b = ranked(answered[query]), ranked(other[query])
    pairs["rbo"][query] = rbo.RankingSimilarity(a, b).rbo_ext(p=0.9)
    shared = [d for d in a if d in set(b)]
    if len(shared) > 1:
        pairs["tau"][query] = float(scipy.stats.kendalltau(range(len(shared)), [b.index(d) for d in shared]).statistic)

statistics = []
for case in json.load(open(folder / "pairs.json")):
    a, b = case["a"], case["b"]
    difference = lambda x, y, axis: (y - x).mean(axis=axis)
    exact = scipy.stats.permutation_test((a, b), difference, permutation_type="samples", n_resamples=1_000_000, vectorized=True)
    boot = scipy.stats.bootstrap(([y - x for x, y in zip(a, b)],), lambda x, axis: x.mean(axis=axis), method="percentile", n_resamples=100_000, rng=1)
    statistics.append({"p": float(exact.pvalue), "low": float(boot.confidence_interval.low), "high": float(boot.confidence_interval.high)})

json.dump({"metrics": out, "pairs": pairs, "statistics": statistics}, sys.stdout, sort_keys=True, indent=0)
