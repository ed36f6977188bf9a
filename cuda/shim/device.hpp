// What a kernel source needs of CUDA, on the host: included before the unmodified source by the compiler's -include.
// Tests only. A block's threads are fibers on one host thread, or, with SHIM_THREADS, threads of their own, so that
// the sanitizers see them.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <algorithm>

#ifdef SHIM_THREADS
#define SHIM_LOCAL thread_local
#else
#define SHIM_LOCAL
#endif

#define __device__
#define __shared__
#define __forceinline__ inline __attribute__((always_inline))

struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(16) ulonglong2 {
    unsigned long long x, y;
};
struct Index {
    uint32_t x, y, z;
};

extern SHIM_LOCAL Index threadIdx;
extern Index blockIdx, blockDim, gridDim;

inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

using std::max;
using std::min;
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }
inline uint64_t __umul64hi(uint64_t a, uint64_t b) { return (uint64_t)((unsigned __int128)a * b >> 64); }
inline uint32_t __funnelshift_l(uint32_t low, uint32_t high, uint32_t by) {
    return (uint32_t)((((uint64_t)high << 32 | low) << (by & 31)) >> 32);
}
inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t by) {
    return (uint32_t)(((uint64_t)high << 32 | low) >> (by & 31));
}
inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __clz(uint32_t x) { return x == 0 ? 32 : __builtin_clz(x); }
inline int __ffs(uint32_t x) { return __builtin_ffs((int)x); }
template <class T>
inline T __ldg(const T* from) { return *from; }

void __syncthreads();
void __syncwarp(uint32_t mask = 0xFFFFFFFF);
uint64_t shim_exchange(uint64_t value, uint32_t lane);
template <class T>
inline T __shfl_xor_sync(uint32_t, T value, uint32_t lanes) {
    return (T)shim_exchange((uint64_t)value, threadIdx.x % 32 ^ lanes);
}
template <class T>
inline T __shfl_sync(uint32_t, T value, uint32_t lane) {
    return (T)shim_exchange((uint64_t)value, lane % 32);
}

// Every kernel enters itself into the list that the driver's stand-in looks names up in.
struct Kernel {
    const char* name;
    void (*run)(const void* args);
    size_t args_bytes;
    uint32_t threads;
    const Kernel* next;
    static const Kernel* all;
    Kernel(const char* name, void (*run)(const void*), size_t args_bytes, uint32_t threads)
        : name(name), run(run), args_bytes(args_bytes), threads(threads), next(all) {
        all = this;
    }
};

#define KERNEL(name, Args, threads)                                                                    \
    static void name(const Args& args);                                                                \
    static const Kernel kernel_##name(#name, [](const void* args) { name(*(const Args*)args); },       \
                                      sizeof(Args), threads);                                          \
    static void name(const Args& args)

#ifdef SHIM_KERNELS
// Last, and in kernels only: the standard library's headers use the word in attributes.
#define __noinline__ __attribute__((noinline))
#endif

// Runs one grid, block by block. Returns false, with a line on standard error, where a kernel broke a rule.
bool shim_launch(const Kernel& kernel, const void* args, Index grid, Index block, size_t shared_bytes);
