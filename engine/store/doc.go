// Package store keeps an index directory: everything that answers queries about
// one catalogue. [Build] makes one, [Open] verifies one and joins its parts
// into an engine. It is the only package that knows all the parts.
//
// The directory, which docs/formats.md describes, is built under a
// temporary name, synced and renamed; it is never changed in place. Opening
// checks every file against the manifest before any of it is used.
//
// An *Index may be used by many goroutines; whoever opened it closes it when no
// request uses its engine any more.
package store
