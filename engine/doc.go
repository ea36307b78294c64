// Package engine answers a product query with several rankings side by side,
// each by a [Ranker], and with fusions of them.
//
// It knows neither FAISS nor bleve nor ONNX Runtime: a ranking is whatever
// implements Ranker, and package engine/store joins the real ones. An [Engine]
// is immutable once made and safe for use by many goroutines; each ranking of a
// request runs in a goroutine of its own under the request's deadline, and one
// that fails reports its own error while the others answer.
//
// Rankings are totally ordered: score descending, then product id ascending.
// This package uses no cgo.
package engine
