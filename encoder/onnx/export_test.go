package onnx

// PlainOperators has ONNX Runtime compute quantized networks with its own operators
// alone, until the returned function is called.
func PlainOperators() (restore func()) {
	before := ownOperators
	ownOperators = func() bool { return false }
	return func() { ownOperators = before }
}
