// What FAISS reads of a file is believed by its searches, which end the process or read
// other memory where it is wrong.
#pragma once

#include <memory>

#include <faiss/Index.h>

namespace tr {

// Reads the index file at path and validates it. Throws std::exception if it cannot.
std::unique_ptr<faiss::Index> read(const char* path);

// Throws std::exception if an index that was read does not hang together: sizes that
// do not go with the number of vectors, ids beyond it, links of a graph that lead out
// of it. It looks into the kinds that trirank's own factory strings make; of others
// it compares the number of vectors and the dimension only.
void validate(const faiss::Index* index);

} // namespace tr
