#pragma once
#include <faiss/IndexIVF.h>

namespace faiss::gpu {
using GpuIndexIVF = faiss::IndexIVF;
}
