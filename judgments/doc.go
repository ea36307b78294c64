// Package judgments owns what a judgment is: how well a product answers a query,
// said by somebody, on a scale. It reads and writes the formats that judgments come
// in, gives queries their identity, puts judgments of several sources together, and
// says what labels are worth.
//
// A query is its text (Normalize). Ids are aliases: a source may have several for
// one text, or none, and then the id is made of the text (ID), so that it is the
// same in every file. Readers yield one Judgment at a time; Builder puts them
// together to a Set, which evaluation, training and the index look labels up in.
//
// Readers are iterators that hold one query at a time. A row that cannot be used is
// yielded as a *faults.Fault, and reading goes on; any other error ends it. Broken
// or hostile files give errors, never panics. A Source holds no file open between
// iterations and may be read again, but by one goroutine at a time.
package judgments
