"""BM25 by bm25s, as one would write it in Python: one text a product, of the fields
that this module indexes, with English stop words and stems."""

import json

import bm25s
import Stemmer
from bm25s.tokenization import Tokenizer


def products(file):
    with open(file) as f:
        return [json.loads(line) for line in f]


def text(product):
    fields = [product["title"], product.get("brand", ""), *product.get("bullets", ()), product.get("description", "")]
    return " ".join(fields)


class Index:
    def __init__(self, texts):
        self.tokenizer = Tokenizer(stemmer=Stemmer.Stemmer("english"), stopwords="english")
        tokens = self.tokenizer.tokenize(texts, return_as="ids", show_progress=False)
        # Its compiled backend, which is several times as fast as the other one.
        self.index = bm25s.BM25(k1=1.2, b=0.75, method="lucene", backend="numba")
        self.index.index((tokens, self.tokenizer.get_vocab_dict()), show_progress=False)

    def search(self, queries, k):
        """Rows and scores of the best for each query."""
        tokens = self.tokenizer.tokenize(queries, update_vocab=False, return_as="ids", show_progress=False)
        return self.index.retrieve(tokens, k=k, show_progress=False)
