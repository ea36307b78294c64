// Package faiss keeps unit vectors in FAISS indexes and finds those with the
// largest inner product. It is the only importer of go-faiss.
//
// [Build] trains, fills and saves an index through go-faiss; [Open] loads one
// through a small C++ shim of ours over the same library, which go-faiss cannot
// do without: parameters for a single search, id filters, and threads under
// control. Both need the library of package native.
//
// FAISS ends the process on a corrupt file and on some wrong arguments, so
// nothing reaches it unchecked: Open wants the file's SHA-256, and every search
// checks dimension, finiteness and limits first.
//
// An *Index is immutable and safe for use by many goroutines. A search runs on
// one thread; no more searches run at once than there are processors. Close
// waits for the searches under way.
//
// Ids are the places of the vectors in the order they were added, from 0.
package faiss
