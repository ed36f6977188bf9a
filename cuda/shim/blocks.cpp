// Runs grids on the host. In fiber mode each thread of a block runs until it waits, in an order that changes from
// launch to launch, so that a missing barrier shows as a wrong word.
#include "device.hpp"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <barrier>
#include <memory>
#include <thread>
#include <vector>

const Kernel* Kernel::all = nullptr;
SHIM_LOCAL Index threadIdx;
Index blockIdx, blockDim, gridDim;
// The most any device offers, and a guard behind it.
static constexpr size_t SHARED_BYTES = 232448, GUARD_BYTES = 4096;
alignas(16) uint4 block_memory[(SHARED_BYTES + GUARD_BYTES) / sizeof(uint4)];

static uint64_t mail[32][32];

#ifdef SHIM_THREADS

static std::unique_ptr<std::barrier<>> block_barrier;
static std::vector<std::unique_ptr<std::barrier<>>> warp_barriers;

void __syncthreads() { block_barrier->arrive_and_wait(); }
void __syncwarp(uint32_t) { warp_barriers[threadIdx.x / 32]->arrive_and_wait(); }

static bool run_block(const Kernel& kernel, const void* args) {
    const uint32_t count = blockDim.x;
    block_barrier = std::make_unique<std::barrier<>>(count);
    warp_barriers.clear();
    for (uint32_t first = 0; first < count; first += 32)
        warp_barriers.push_back(std::make_unique<std::barrier<>>(std::min(32u, count - first)));
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < count; i++)
        threads.emplace_back([&, i] {
            threadIdx = {i, 0, 0};
            kernel.run(args);
            warp_barriers[i / 32]->arrive_and_drop();
            block_barrier->arrive_and_drop();
        });
    for (auto& thread : threads) thread.join();
    return true;
}

#else

enum class State { Fresh, Ready, AtBlock, AtWarp, Done };
struct Fiber {
    ucontext_t start;
    jmp_buf here;
    State state;
    std::unique_ptr<char[]> stack;
};
static constexpr size_t STACK_BYTES = 256 * 1024;
static std::vector<Fiber> fibers;
static Fiber* running;
static jmp_buf scheduler;
static const Kernel* current_kernel;
static const void* current_args;

static void wait_in(State state) {
    running->state = state;
    if (_setjmp(running->here) == 0) _longjmp(scheduler, 1);
}
void __syncthreads() { wait_in(State::AtBlock); }
void __syncwarp(uint32_t) { wait_in(State::AtWarp); }

static void fiber_main() {
    current_kernel->run(current_args);
    running->state = State::Done;
    _longjmp(scheduler, 1);
}

static void resume(uint32_t index) {
    running = &fibers[index];
    threadIdx = {index, 0, 0};
    if (_setjmp(scheduler) != 0) return;
    if (running->state == State::Ready) _longjmp(running->here, 1);
    getcontext(&running->start);
    running->start.uc_stack.ss_sp = running->stack.get();
    running->start.uc_stack.ss_size = STACK_BYTES;
    running->start.uc_link = nullptr;
    makecontext(&running->start, fiber_main, 0);
    setcontext(&running->start);
}

// Lets those go on who all wait for the same; false if nobody waits there, or not all do.
static bool release(uint32_t first, uint32_t end, State at) {
    bool any = false;
    for (uint32_t i = first; i < end; i++) {
        if (fibers[i].state == at) any = true;
        else if (fibers[i].state != State::Done) return false;
    }
    for (uint32_t i = first; any && i < end; i++)
        if (fibers[i].state == at) fibers[i].state = State::Ready;
    return any;
}

static bool run_block(const Kernel& kernel, const void* args) {
    static uint32_t turn = 0;
    const uint32_t count = blockDim.x;
    while (fibers.size() < count) {
        fibers.emplace_back();
        fibers.back().stack = std::make_unique<char[]>(STACK_BYTES);
    }
    for (uint32_t i = 0; i < count; i++) fibers[i].state = State::Fresh;
    current_kernel = &kernel, current_args = args;
    // Up, down, and in steps that visit all: every order is as good as another, so every order must give the same.
    const uint32_t order = turn++ % 3;
    uint32_t step = 97;
    while (std::__gcd(step, count) != 1) step++;
    for (;;) {
        bool done = true;
        for (uint32_t k = 0; k < count; k++) {
            const uint32_t i = order == 0 ? k : order == 1 ? count - 1 - k : (uint32_t)((uint64_t)k * step % count);
            if (fibers[i].state == State::Fresh || fibers[i].state == State::Ready) resume(i);
            done = done && fibers[i].state == State::Done;
        }
        if (done) return true;
        bool released = false;
        for (uint32_t first = 0; first < count; first += 32)
            released |= release(first, std::min(first + 32, count), State::AtWarp);
        if (!released && !release(0, count, State::AtBlock)) {
            fprintf(stderr, "host shim: %s: threads wait for a barrier that others do not reach\n", kernel.name);
            return false;
        }
    }
}

#endif

uint64_t shim_exchange(uint64_t value, uint32_t lane) {
    mail[threadIdx.x / 32][threadIdx.x % 32] = value;
    __syncwarp();
    const uint64_t got = mail[threadIdx.x / 32][lane];
    __syncwarp();
    return got;
}

bool shim_launch(const Kernel& kernel, const void* args, Index grid, Index block, size_t shared_bytes) {
    blockDim = block, gridDim = grid;
    unsigned char* memory = (unsigned char*)block_memory;
    for (uint32_t i = 0; i < grid.x; i++) {
        blockIdx = {i, 0, 0};
        memset(memory, 0xA5, shared_bytes + GUARD_BYTES);
        if (!run_block(kernel, args)) return false;
        for (size_t at = shared_bytes; at < shared_bytes + GUARD_BYTES; at++) {
            if (memory[at] == 0xA5) continue;
            fprintf(stderr, "host shim: %s writes past its %zu bytes of shared memory\n", kernel.name, shared_bytes);
            return false;
        }
    }
    return true;
}
