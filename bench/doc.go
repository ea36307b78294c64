// Package bench measures what speed and quantization cost in relevance: how long
// each stage of a query takes, how much an index finds of what exact search would,
// and what that does to nDCG. It is a library: trirank bench and the benchmarks of
// go test call the same functions, and all of them yield Results, which are written
// as benchmark lines, JSON and pages.
//
// Times are of this machine while nothing else runs on it; compare them within one
// report. Recall is against exact search with the same vectors.
package bench
