// Package encoder turns texts into vectors with an E5-style embedding model: it
// puts the model's prefix in front, groups texts of like length into batches,
// averages the network's output over the tokens of each text and scales the
// mean to unit length, so that an inner product is a cosine.
//
// A model is a directory (see [Model]); what runs it is a [Tokenizer] and a
// [Network], which package encoder/onnx provides. An [Encoder] is safe for use
// by many goroutines, which share one copy of the weights.
//
// The vector of a text does not depend on what else is in its batch, to about
// 1e-6, for fp32 models and int8 ones of the kinds "tokens" and "blocks" (see package
// encoder/quantize). Dynamic int8 models scale their activations over the whole
// batch, so theirs does (cosine about .997): for them compare only vectors that were
// made alike.
package encoder
