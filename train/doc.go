// Package train fine-tunes an E5 encoder on judgements.
//
// A Trainer holds the weights on a device and takes steps; Run drives it through
// a whole job with validation, checkpoints and a record that it can be resumed
// from. Everything that is drawn at random is drawn from the seed and the number
// of the step or epoch, never from what happened before: a job that was killed and
// goes on makes the same steps as one that was not.
//
// The package knows nothing of tokenizers, catalogues on disk or ONNX Runtime: it
// takes tokens and gives weights. Its types are not safe for use by many
// goroutines.
package train
