// Package operators has the functions of networks that package quantize writes, as
// operators of ONNX Runtime: products of 8-bit numbers, with what stands before and after
// them in the same pass, by VNNI and, where the processor has it, AMX. Where it has
// neither, or there is another runtime, the functions' own bodies are computed.
package operators
