// Package eval tells which ranking is better, by how much, and whether that can
// be trusted.
//
// Judgements become Qrels, rankings become Runs, and Evaluate turns both into a
// Report: metrics for each system, paired statistics for each two of them, and
// what lies behind the differences. The package reads no file and knows no
// engine; eval/formats reads judgements and runs, eval/report writes reports.
//
// Everything is deterministic: the same input, options and seed give the same
// Report, with any number of processors. Builds for different architectures may
// differ in last digits, since a compiler may join a multiplication with an
// addition. Values that do not exist, such as the nDCG of a query without a
// relevant product, are NaN; means leave them out and say over how many queries
// they were taken.
//
// Nothing here may be changed while a function of the package uses it; apart from
// that, functions may be called by many goroutines.
package eval
