#pragma once
#include <cstddef>

namespace faiss::gpu {

struct StandardGpuResources {
    void setTempMemory(size_t) {}
    void setPinnedMemory(size_t) {}
    StandardGpuResources* getResources() { return this; }
    void initializeForDevice(int) {}
};

} // namespace faiss::gpu
