//go:build !cgo || !linux

package heap

// Trim does nothing: without C there is no XLA.
func Trim() {}

// FewArenas does nothing either.
func FewArenas() {}
