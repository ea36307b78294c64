// Package bm25 ranks products by the words that they share with a query.
//
// [Build] writes an index directory once, offline, from an iterator of
// products, in bounded memory; [Open] serves it read-only. A product is known
// by its row, its place in the iterator. An *Index may be used by many
// goroutines, and a directory by many processes, at once. Close waits for the
// searches that are running and may be called twice.
//
// # Text
//
// Products and queries, bleve's own rankings included, are written in one form before
// the analyzer cuts them into terms: letters of full width as those of ASCII, katakana of
// half width as those of full width (Unicode Standard Annex 11), and a letter with its
// accents as one character where there is one (NFC, Annex 15). So "café" is one word however it was
// typed, and "ｗｉｆｉ" is wifi. Accents stay: "cafe" is another word.
//
// # Scores
//
// bleve keeps the postings, but its own "bm25" is not the formula of that
// name: it takes the square root of the term frequency, has k1 where k1+1
// belongs, multiplies by the idf twice, by a query norm and by the share of the
// terms that matched, and takes for the average length of a field the number of
// different terms in it over the number of documents.
// [Index.SearchBleve] ranks by it, for comparison. [Index.Search] computes
// Okapi BM25:
//
//	score(q, d) = Σ over fields f   boost(f) ·
//	              Σ over terms t    qtf(t) · idf(f, t) ·
//	                                tf · (k1 + 1) / (tf + k1 · (1 - b + b · len / avglen))
//	idf(f, t)   = ln(1 + (N - df + 0.5) / (df + 0.5))
//
// tf is how often t occurs in the field of the document, qtf how often in the
// query, len the number of terms of that field, avglen its mean over all N
// documents, those without the field included, and df the number of documents
// with t in that field. Only terms that the analyzer leaves count: neither
// stop words nor punctuation have a length.
//
// The formula is that of Robertson and Zaragoza, The Probabilistic Relevance
// Framework: BM25 and Beyond (Foundations and Trends in Information Retrieval
// 3(4), 2009), a term of the query counting as often as it occurs; the 1 inside
// the logarithm, which keeps an idf above zero, is Lucene's. Fields are scored
// apart and added, which is not BM25F.
//
// # Search
//
// [Index.Scores] goes through all documents of all terms. [Index.Search] finds
// what that would find, to the last bit, by MaxScore (Turtle and Flood, Query
// evaluation: strategies and optimizations, Information Processing & Management
// 31(6), 1995): once k products are found, terms that alone can lift no other
// among them are only looked up for products that have a rarer term. bleve has
// no such search, and its postings neither say how much a term can add nor let
// one skip to a document without reading those before. So the first query with
// a term reads all of its postings, and what they come to is kept for later
// ones, in at most 64 MiB for an index: the greatest score, and the documents in
// which it occurs more than once. The sets of documents are bleve's own bitmaps,
// in the files that it maps into memory.
//
// # Directory
//
//	bm25.json     format number, rows, options, sizes and checksums of the other files; written last
//	lengths.bin   row and field lengths of each document, in bleve's order
//	bleve/        bleve's own files: one segment, without stored text or positions
//
// lengths.bin holds little-endian 32-bit numbers: the row of each document,
// then, a field at a time in the order of bm25.json, its length. Opening reads
// it into memory, 8 bytes a row and 4 more a field, since bleve keeps lengths
// only as rounded reciprocals of square roots.
//
// This package uses no cgo and is the only importer of bleve.
package bm25
