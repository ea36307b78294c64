#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Whether this processor has the instructions that the operators need.
int trirank_operators_supported(void);

// Has products be computed by AMX's tiles where there are any (at first), or never.
void trirank_operators_allow_tiles(int allowed);

// Adds the operators to an OrtSessionOptions of the ONNX Runtime at the path library,
// which is loaded. Returns NULL, or what went wrong, to be freed.
char* trirank_operators_register(void* options, const char* library);

#ifdef __cplusplus
}
#endif
