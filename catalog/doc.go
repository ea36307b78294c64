// Package catalog holds what a shop sells and what is known about its
// searches: products, queries, relevance judgements and popularity.
//
// A catalogue is a directory (see [Open]) that import writes and everything
// else reads. Products have an order that never changes: the place of a product
// in it, its row, is its id inside the vector index, and Product.ID is its
// id outside. Reading is by iterator, one product at a time, so a catalogue may
// be larger than memory. A *Catalog holds no open file between calls and may be
// used by many goroutines at once.
//
// This package uses no cgo; of trirank's it imports only internal helpers.
//
// Package catalog/formats reads the sources that catalogues are made from, and
// package catalog/stats describes a catalogue.
package catalog
