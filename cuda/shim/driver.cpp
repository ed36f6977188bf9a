// A stand-in for libcuda.so.1 that runs the kernels on the host: the part of the driver API that the engine calls, with
// the real one's rules checked strictly. Built by tests only; its device says in its name what it is.
//
// Work on a stream is put off until somebody waits for it, the latest moment the real driver allows: host code that
// reads too early, or frees too early, gets wrong words here.
//
// TENSORGUARD_SHIM_FAIL=cuLaunchKernel:2:719   the second call of that function fails with that code
// TENSORGUARD_SHIM_SWEEP=719                   the n-th time that the device is opened, the n-th call after that fails with that code
// TENSORGUARD_SHIM_CRASH=719                   the same for the n-th piece of work on a stream: it fails when it is run, and the context with it
// TENSORGUARD_SHIM_DRIVER=11040                the driver's version
// TENSORGUARD_SHIM_CAPABILITY=87               compute capability
// TENSORGUARD_SHIM_MEMORY=1000000              bytes of device memory
// TENSORGUARD_SHIM_INTEGRATED=1                memory shared with the host
// TENSORGUARD_SHIM_LOG=PATH                    a line for each launch, copy, wait, and piece of memory allocated or freed
// TENSORGUARD_SHIM_MARK=30                     counts, in memory that is freed, places with sixteen such bytes in a row
#include "device.hpp"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

typedef int Result;
enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209, UNSUPPORTED_PTX_VERSION = 222, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600,
    LAUNCH_OUT_OF_RESOURCES = 701, LAUNCH_FAILED = 719,
};

struct Stream {
    int number;
    std::deque<std::function<Result()>> work;
    Result failed = SUCCESS;
};
struct Event {
    Stream* stream = nullptr;
    bool reached = true;
};
struct Module {
    std::string image;
};
struct Function {
    const Kernel* kernel;
    size_t shared_bytes = 48 * 1024;
};
struct Piece {
    size_t bytes;
};

static std::recursive_mutex lock;
static std::map<uintptr_t, Piece> pieces, pinned;
static size_t used_bytes = 0;
static bool initialized = false;
static thread_local bool has_context = false;
static int context_token;
static int retained = 0, opened = 0, streams = 0;
// Calls, and pieces of work, since the device was opened.
static int calls_since = 0, works_since = 0;
// What broke the context: from then on every call answers that.
static Result broken = SUCCESS;

static const char* setting(const char* name, const char* usual) {
    const char* value = getenv(name);
    return value && *value ? value : usual;
}

static int number(const char* name, const char* usual) { return atoi(setting(name, usual)); }
static int capability() { return number("TENSORGUARD_SHIM_CAPABILITY", "87"); }
static int driver_version() { return number("TENSORGUARD_SHIM_DRIVER", "11040"); }
static size_t memory_bytes() { return strtoull(setting("TENSORGUARD_SHIM_MEMORY", "4294967296"), nullptr, 10); }

// Shared memory that a block may ask for, by the manual's table.
static int most_shared_bytes() {
    switch (capability()) {
        case 70: case 72: return 98304;
        case 75: return 65536;
        case 80: case 87: return 166912;
        case 86: case 89: case 120: return 101376;
        default: return 232448;
    }
}

static void log_line(const std::string& line) {
    const char* path = setting("TENSORGUARD_SHIM_LOG", nullptr);
    if (!path) return;
    if (FILE* file = fopen(path, "a")) {
        fprintf(file, "%s\n", line.c_str());
        fclose(file);
    }
}

// How often the bytes that mark a secret stand sixteen in a row.
static std::string marks(const unsigned char* bytes, size_t count) {
    const int mark = atoi(setting("TENSORGUARD_SHIM_MARK", "-1"));
    size_t run = 0, found = 0;
    for (size_t i = 0; i < count; i++) {
        run = bytes[i] == mark ? run + 1 : 0;
        found += run == 16;
    }
    return " marks " + std::to_string(found);
}

// The code this call shall fail with, by TENSORGUARD_SHIM_FAIL.
static Result planned(const char* name) {
    static std::map<std::string, int> calls;
    const int call = ++calls[name];
    const std::string plan = setting("TENSORGUARD_SHIM_FAIL", "");
    const size_t first = plan.find(':'), second = plan.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos || plan.substr(0, first) != name) return SUCCESS;
    return atoi(plan.c_str() + first + 1) == call ? atoi(plan.c_str() + second + 1) : SUCCESS;
}

#define ENTER(name)                                                     \
    std::lock_guard<std::recursive_mutex> guard(lock);                  \
    if (const Result code = planned(name)) return code;                 \
    if (!initialized) return NOT_INITIALIZED
#define ENTER_CONTEXT(name)                           \
    ENTER(name);                                      \
    if (!has_context) return INVALID_CONTEXT;         \
    if (broken) return broken;                        \
    if (const Result code = swept(name)) return code

// The code this call shall fail with, by TENSORGUARD_SHIM_SWEEP.
static Result swept(const char* name) {
    const Result code = number("TENSORGUARD_SHIM_SWEEP", "0");
    if (code == SUCCESS || ++calls_since != opened) return SUCCESS;
    log_line(std::string("swept ") + name);
    return code;
}

static bool inside(const std::map<uintptr_t, Piece>& all, uintptr_t at, size_t bytes) {
    auto next = all.upper_bound(at);
    if (next == all.begin()) return false;
    auto piece = std::prev(next);
    return at + bytes <= piece->first + piece->second.bytes;
}

static bool inside(uintptr_t at, size_t bytes) { return inside(pieces, at, bytes); }

// A copy from or to memory that is not pinned makes the real driver wait, which nobody here wants.
static bool is_pinned(const void* at, size_t bytes) { return inside(pinned, (uintptr_t)at, bytes); }

// A kernel that writes past a piece of memory shows behind it: at once in the first bytes, which most hit, and elsewhere when the
// memory is given back. More than the largest polynomial of two limbs.
static constexpr size_t GUARD_BYTES = 512 * 1024, NEAR_BYTES = 8 * 1024;

static bool guard_holds(const char* by, uintptr_t at, size_t bytes, size_t guard_bytes) {
    unsigned char* guard = (unsigned char*)at + bytes;
    if (guard[0] == 0xEE && memcmp(guard, guard + 1, guard_bytes - 1) == 0) return true;
    fprintf(stderr, "host shim: %s writes past %zu bytes of memory\n", by, bytes);
    memset(guard, 0xEE, guard_bytes);
    return false;
}

static bool guards_hold(const char* kernel) {
    for (const auto& [at, piece] : pieces) {
        if (!guard_holds(kernel, at, piece.bytes, NEAR_BYTES)) return false;
    }
    return true;
}

// Whoever frees may ignore an error, so nothing goes on.
static void give_back(uintptr_t at, size_t bytes) {
    if (!guard_holds("a kernel before", at, bytes, GUARD_BYTES)) abort();
    free((void*)at);
}

static Result run_one(Stream* stream) {
    auto work = std::move(stream->work.front());
    stream->work.pop_front();
    const Result crash = number("TENSORGUARD_SHIM_CRASH", "0");
    const bool crashes = crash && ++works_since == opened;
    if (crashes) log_line("crashed");
    const Result code = broken ? broken : crashes ? crash : work();
    if (code) stream->failed = broken = code;
    return code;
}

static Result drain(Stream* stream) {
    while (!stream->work.empty()) run_one(stream);
    return stream->failed;
}

extern "C" {

Result cuInit(unsigned) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    if (const Result code = planned("cuInit")) return code;
    initialized = true;
    return SUCCESS;
}
Result cuDriverGetVersion(int* version) {
    *version = driver_version();
    return SUCCESS;
}
Result cuDeviceGetCount(int* count) {
    ENTER("cuDeviceGetCount");
    *count = atoi(setting("TENSORGUARD_SHIM_DEVICES", "1"));
    return SUCCESS;
}
Result cuDeviceGet(int* device, int ordinal) {
    ENTER("cuDeviceGet");
    *device = ordinal;
    return ordinal == 0 ? SUCCESS : INVALID_VALUE;
}
Result cuDeviceGetName(char* name, int bytes, int) {
    ENTER("cuDeviceGetName");
    snprintf(name, bytes, "host shim, no device");
    return SUCCESS;
}
Result cuDeviceGetAttribute(int* value, int attribute, int) {
    ENTER("cuDeviceGetAttribute");
    switch (attribute) {
        case 13: *value = 1000000; break;                                         // clock, kHz
        case 16: *value = 2; break;                                               // multiprocessors
        case 18: *value = atoi(setting("TENSORGUARD_SHIM_INTEGRATED", "0")); break;
        case 36: *value = 1000000; break;                                         // memory clock, kHz
        case 37: *value = 128; break;                                             // bus width, bits
        case 75: *value = capability() / 10; break;
        case 76: *value = capability() % 10; break;
        case 97: *value = most_shared_bytes(); break;
        default: return INVALID_VALUE;
    }
    return SUCCESS;
}
Result cuDeviceTotalMem_v2(size_t* bytes, int) {
    ENTER("cuDeviceTotalMem_v2");
    *bytes = memory_bytes();
    return SUCCESS;
}
Result cuDevicePrimaryCtxRetain(void** context, int) {
    ENTER("cuDevicePrimaryCtxRetain");
    *context = &context_token;
    if (retained++ == 0) opened++, calls_since = works_since = 0, broken = SUCCESS;
    return SUCCESS;
}
Result cuDevicePrimaryCtxRelease_v2(int) {
    ENTER("cuDevicePrimaryCtxRelease_v2");
    if (--retained > 0) return SUCCESS;
    // A context takes its memory with it. A broken one gives nothing back before.
    if (pieces.size() + pinned.size() > 0 && !broken) log_line("leak " + std::to_string(pieces.size() + pinned.size()));
    for (const auto& [at, piece] : pieces) give_back(at, piece.bytes);
    for (const auto& piece : pinned) free((void*)piece.first);
    pieces.clear();
    pinned.clear();
    used_bytes = 0;
    return SUCCESS;
}
Result cuCtxSetCurrent(void* context) {
    ENTER("cuCtxSetCurrent");
    if (const Result code = swept("cuCtxSetCurrent")) return code;
    if (context && context != &context_token) return INVALID_CONTEXT;
    has_context = context != nullptr;
    return SUCCESS;
}

Result cuMemAlloc_v2(uintptr_t* at, size_t bytes) {
    ENTER_CONTEXT("cuMemAlloc_v2");
    if (bytes == 0) return INVALID_VALUE;
    if (used_bytes + bytes > memory_bytes()) return OUT_OF_MEMORY;
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, bytes + GUARD_BYTES)) return OUT_OF_MEMORY;
    memset(memory, 0xCD, bytes);
    memset((char*)memory + bytes, 0xEE, GUARD_BYTES);
    pieces[(uintptr_t)memory] = {bytes};
    used_bytes += bytes;
    *at = (uintptr_t)memory;
    log_line("allocate " + std::to_string(bytes));
    return SUCCESS;
}
Result cuMemAllocManaged(uintptr_t* at, size_t bytes, unsigned) { return cuMemAlloc_v2(at, bytes); }
Result cuMemFree_v2(uintptr_t at) {
    ENTER_CONTEXT("cuMemFree_v2");
    auto piece = pieces.find(at);
    if (piece == pieces.end()) return INVALID_VALUE;
    log_line("free " + std::to_string(piece->second.bytes) + marks((unsigned char*)at, piece->second.bytes));
    used_bytes -= piece->second.bytes;
    give_back(at, piece->second.bytes);
    pieces.erase(piece);
    return SUCCESS;
}
Result cuMemHostAlloc(void** at, size_t bytes, unsigned flags) {
    ENTER_CONTEXT("cuMemHostAlloc");
    // Write-combined memory (flag 4) is slow to read: nobody here should ask for it.
    if (flags & 4 || bytes == 0) return INVALID_VALUE;
    if (posix_memalign(at, 4096, bytes)) return OUT_OF_MEMORY;
    memset(*at, 0xCD, bytes);
    pinned[(uintptr_t)*at] = {bytes};
    log_line("allocate pinned " + std::to_string(bytes));
    return SUCCESS;
}
Result cuMemFreeHost(void* at) {
    ENTER_CONTEXT("cuMemFreeHost");
    auto piece = pinned.find((uintptr_t)at);
    if (piece == pinned.end()) return INVALID_VALUE;
    log_line("free pinned " + std::to_string(piece->second.bytes) + marks((unsigned char*)at, piece->second.bytes));
    pinned.erase(piece);
    free(at);
    return SUCCESS;
}
Result cuStreamCreate(Stream** stream, unsigned) {
    ENTER_CONTEXT("cuStreamCreate");
    *stream = new Stream{streams++, {}, SUCCESS};
    return SUCCESS;
}
Result cuStreamDestroy_v2(Stream* stream) {
    ENTER_CONTEXT("cuStreamDestroy_v2");
    drain(stream);
    delete stream;
    return SUCCESS;
}
Result cuStreamSynchronize(Stream* stream) {
    ENTER_CONTEXT("cuStreamSynchronize");
    log_line("wait on " + std::to_string(stream->number));
    return drain(stream);
}
Result cuEventCreate(Event** event, unsigned) {
    ENTER_CONTEXT("cuEventCreate");
    *event = new Event;
    return SUCCESS;
}
Result cuEventDestroy_v2(Event* event) {
    ENTER_CONTEXT("cuEventDestroy_v2");
    while (event->stream && !event->reached) run_one(event->stream);
    delete event;
    return SUCCESS;
}
Result cuEventRecord(Event* event, Stream* stream) {
    ENTER_CONTEXT("cuEventRecord");
    event->stream = stream;
    event->reached = false;
    stream->work.push_back([event] { return event->reached = true, SUCCESS; });
    return SUCCESS;
}
Result cuEventSynchronize(Event* event) {
    ENTER_CONTEXT("cuEventSynchronize");
    while (event->stream && !event->reached && !event->stream->work.empty()) run_one(event->stream);
    return event->stream ? event->stream->failed : SUCCESS;
}
Result cuEventElapsedTime(float* ms, Event* begin, Event* end) {
    ENTER_CONTEXT("cuEventElapsedTime");
    if (!begin->stream || !end->stream) return INVALID_HANDLE;
    if (!begin->reached || !end->reached) return NOT_READY;
    *ms = 0;
    return SUCCESS;
}
Result cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    ENTER_CONTEXT("cuStreamWaitEvent");
    stream->work.push_back([event]() -> Result {
        while (event->stream && !event->reached && !event->stream->work.empty()) run_one(event->stream);
        return event->stream ? event->stream->failed : SUCCESS;
    });
    return SUCCESS;
}

Result cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, Stream* stream) {
    ENTER_CONTEXT("cuMemcpyHtoDAsync_v2");
    if (!inside(to, bytes) || !is_pinned(from, bytes)) return INVALID_VALUE;
    log_line("send " + std::to_string(bytes) + " on " + std::to_string(stream->number));
    stream->work.push_back([=] { return memcpy((void*)to, from, bytes), SUCCESS; });
    return SUCCESS;
}
Result cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, Stream* stream) {
    ENTER_CONTEXT("cuMemcpyDtoHAsync_v2");
    if (!inside(from, bytes) || !is_pinned(to, bytes)) return INVALID_VALUE;
    log_line("fetch " + std::to_string(bytes) + " on " + std::to_string(stream->number));
    stream->work.push_back([=] { return memcpy(to, (const void*)from, bytes), SUCCESS; });
    return SUCCESS;
}
Result cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, Stream* stream) {
    ENTER_CONTEXT("cuMemcpyDtoDAsync_v2");
    if (!inside(from, bytes) || !inside(to, bytes)) return INVALID_VALUE;
    stream->work.push_back([=] { return memcpy((void*)to, (const void*)from, bytes), SUCCESS; });
    return SUCCESS;
}
Result cuMemsetD8Async(uintptr_t at, unsigned char byte, size_t bytes, Stream* stream) {
    ENTER_CONTEXT("cuMemsetD8Async");
    if (!inside(at, bytes)) return INVALID_VALUE;
    stream->work.push_back([=] { return memset((void*)at, byte, bytes), SUCCESS; });
    return SUCCESS;
}

// An image is an ELF file or text that ends with a zero byte. It is not run: it must only be for this device and driver, and
// have what is asked of it.
Result cuModuleLoadData(Module** module, const void* image) {
    ENTER_CONTEXT("cuModuleLoadData");
    const char* bytes = (const char*)image;
    if (memcmp(bytes, ELFMAG, SELFMAG) == 0) {
        if ((uintptr_t)image % alignof(Elf64_Ehdr)) return INVALID_VALUE;
        const Elf64_Ehdr* head = (const Elf64_Ehdr*)image;
        // Where nvcc 13 writes what it compiled for.
        if ((int)(head->e_flags >> 8 & 0xFF) != capability()) return NO_BINARY_FOR_GPU;
        const size_t sections = head->e_shoff + (size_t)head->e_shnum * head->e_shentsize;
        const size_t segments = head->e_phoff + (size_t)head->e_phnum * head->e_phentsize;
        *module = new Module{std::string(bytes, std::max(sections, segments))};
        log_line("load image");
        return SUCCESS;
    }
    int major = 0, minor = 0, target = 0;
    const char *version_at = strstr(bytes, "\n.version "), *target_at = strstr(bytes, "\n.target sm_");
    if (!version_at || sscanf(version_at, "\n.version %d.%d", &major, &minor) != 2) return INVALID_IMAGE;
    if (!target_at || sscanf(target_at, "\n.target sm_%d", &target) != 1) return INVALID_IMAGE;
    // CUDA 11.4 takes PTX 7.4, 12.0 takes 8.0, and so on.
    if (1000 * (major + 4) + 10 * minor > driver_version()) return UNSUPPORTED_PTX_VERSION;
    if (target > capability()) return NO_BINARY_FOR_GPU;
    *module = new Module{bytes};
    log_line("load text");
    return SUCCESS;
}
Result cuModuleUnload(Module* module) {
    ENTER_CONTEXT("cuModuleUnload");
    delete module;
    return SUCCESS;
}
Result cuModuleGetFunction(Function** function, Module* module, const char* name) {
    ENTER_CONTEXT("cuModuleGetFunction");
    const bool is_text = module->image.compare(0, 4, ELFMAG) != 0;
    const std::string entry = is_text ? std::string(".entry ") + name + "(" : std::string(".text.") + name + '\0';
    if (module->image.find(entry) == std::string::npos) return NOT_FOUND;
    for (const Kernel* kernel = Kernel::all; kernel; kernel = kernel->next) {
        if (strcmp(kernel->name, name)) continue;
        *function = new Function{kernel};
        return SUCCESS;
    }
    return NOT_FOUND;
}
Result cuFuncSetAttribute(Function* function, int attribute, int value) {
    ENTER_CONTEXT("cuFuncSetAttribute");
    // 8: dynamic shared memory.
    if (attribute != 8 || value > most_shared_bytes()) return INVALID_VALUE;
    function->shared_bytes = std::max<size_t>(function->shared_bytes, value);
    return SUCCESS;
}

// Parameters come as one buffer with its size (extra = {1, buffer, 2, &bytes, 0}).
Result cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                      unsigned block_y, unsigned block_z, unsigned shared_bytes, Stream* stream, void** params,
                      void** extra) {
    ENTER_CONTEXT("cuLaunchKernel");
    if (params || !extra || extra[0] != (void*)1 || extra[2] != (void*)2 || extra[4]) return INVALID_VALUE;
    const Kernel& kernel = *function->kernel;
    const size_t bytes = *(size_t*)extra[3];
    if (bytes != kernel.args_bytes) return INVALID_VALUE;
    if (grid_x == 0 || grid_x > 0x7FFFFFFF || grid_y != 1 || grid_z != 1 || block_y != 1 || block_z != 1) return INVALID_VALUE;
    if (block_x == 0 || block_x > 1024) return INVALID_VALUE;
    if (block_x > kernel.threads) return LAUNCH_OUT_OF_RESOURCES;
    if (shared_bytes > function->shared_bytes) return INVALID_VALUE;
    log_line(std::string("launch ") + kernel.name + " " + std::to_string(grid_x) + " " + std::to_string(block_x) + " on " +
             std::to_string(stream->number));
    const std::string args((const char*)extra[1], bytes);
    stream->work.push_back([=, &kernel]() -> Result {
        // A copy with the alignment of any struct.
        alignas(16) char aligned[1024];
        memcpy(aligned, args.data(), std::min(args.size(), sizeof aligned));
        const bool done = shim_launch(kernel, aligned, {grid_x, 1, 1}, {block_x, 1, 1}, shared_bytes);
        return done && guards_hold(kernel.name) ? SUCCESS : LAUNCH_FAILED;
    });
    return SUCCESS;
}

Result cuGetErrorName(Result code, const char** name) {
    static thread_local char text[32];
    snprintf(text, sizeof text, "error %d", code);
    *name = text;
    return SUCCESS;
}
Result cuGetErrorString(Result code, const char** text) { return cuGetErrorName(code, text); }
}
