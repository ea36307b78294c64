"""What requests owe beyond what a JSON schema can say: names are those of the sample's
index, the dimension is its model's, no price is above the other, and whole numbers are
written as such."""

import schemathesis

SYSTEMS = ["bm25", "pretrained", "hybrid"]
FUSIONS = ["rrf(60):bm25=1,pretrained=1", "rrf:bm25=2,pretrained=1", "convex:bm25=0.3,pretrained=0.7"]


def pick(values, by):
    return values[len(str(by)) % len(values)]


def mend_query(q):
    for name, values in {
        "fusion": FUSIONS,
        "systems": ["bm25", "pretrained,bm25", "hybrid"],
        "system": SYSTEMS,
    }.items():
        if name in q:
            q[name] = pick(values, q[name])
    if "q" in q and not str(q["q"]).strip():
        q["q"] = "mouse"
    if "q" in q and len(str(q["q"]).encode("utf-8", "replace")) > 2000:
        q["q"] = "mouse"
    if "min_price" in q and "max_price" in q and float(q["max_price"]):
        q["max_price"] = max(float(q["min_price"]), float(q["max_price"]))


def mend_search(r):
    if isinstance(r.get("k"), float):
        r["k"] = int(r["k"])


@schemathesis.hook
def map_case(context, case):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    path = case.operation.path
    if isinstance(case.query, dict):
        mend_query(case.query)
        if path.endswith("/similar") and "system" in case.query:
            case.query["system"] = "pretrained"
    if isinstance(case.body, dict):
        for r in case.body.get("queries") or []:
            mend_search(r)
        if path == "/v1/embeddings":
            texts = case.body.get("input")
            if isinstance(texts, str):
                case.body["input"] = texts if texts.strip() else "mouse"
            elif texts:
                case.body["input"] = [t if t.strip() else "mouse" for t in texts]
            if case.body.get("model"):
                case.body["model"] = "pretrained"
            if case.body.get("dimensions"):
                case.body["dimensions"] = 384
            elif case.body.get("dimensions") is not None:
                case.body["dimensions"] = 0
    return case
