"""Times whole rounds of peers that are Python packages, for `tensorguard compare-peers`.

    python rounds.py PEER

One JSON request per line of standard input ({"step", "length", "robots", "repetitions"}), one answer per line of standard output.
`prepare` makes a round and compares its mean with that of the plain updates; `encrypt` (floats to bytes), `add` (four uploads,
from bytes) and `decrypt` (the sum to the mean) are timed: CPU time of this process. What a peer is and how it is set stands in its own
file.
"""

import importlib
import json
import os
import sys

# Before a peer is loaded: one thread, as on our side.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

GROUP = 4
PEERS = {
    "nvflare": ("ckks_tenseal", "Nvflare"),
    "fedml": ("ckks_tenseal", "Fedml"),
    "seal": ("bfv_seal", "Seal"),
    "openfhe-ckks": ("openfhe_rings", "Ckks"),
    "openfhe-bfv": ("openfhe_rings", "Bfv"),
    "secagg": ("masks_flower", "SecAggPlus"),
}


def update(robot, length):
    """Uniform in [-1, 1), 24 bits each, the same on every side that is compared."""
    z = (np.uint64(robot << 32) | np.arange(length, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) / np.float32(8388608.0) - np.float32(1.0)


def size(upload):
    return len(upload) if isinstance(upload, bytes) else sum(map(len, upload))


def resident(name):
    """A line of this process's status, in bytes; 0 where the system tells none."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
    except (OSError, StopIteration):
        return 0


def start_of_peak():
    """Forgets the peak so far, and says what is resident now; 0 where that cannot be done."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return 0
    return resident("VmRSS")


class Round:
    """A round that was run once, and is run again piece by piece."""

    def __init__(self, peer, length, robots):
        self.peer, self.length, self.robots = peer, length, robots
        before = start_of_peak()
        if hasattr(peer, "begin"):
            peer.begin(robots)
        plain, self.total, self.uploads = np.zeros(length), None, []
        for robot in range(robots):
            floats = update(robot, length)
            plain += floats
            upload = peer.first(robot, floats) if hasattr(peer, "first") else peer.encrypt(floats)[0]
            self.total, _ = peer.add(self.total, [upload])
            if len(self.uploads) < peer.kept:
                self.uploads.append(upload)
        mean, _ = peer.decrypt(self.total, length, robots)
        errors = np.abs(mean - plain / robots)
        self.floats = update(0, length)
        # A sum of its own: adding goes on, and this one is opened again.
        self.running, _ = peer.add(None, self.uploads[:1])
        self.facts = {
            "version": peer.version,
            "upload_bytes": size(self.uploads[0]),
            "sum_bytes": peer.sum_bytes(self.total),
            "robots": robots,
            "error_max": float(errors.max()),
            "error_rms": float(np.sqrt(np.mean(errors**2))),
            "memory_bytes": resident("VmHWM") - before if before else None,
        }

    def run(self, step, number):
        if step == "encrypt":
            return self.peer.encrypt(self.floats)[1]
        if step == "add":
            group = [self.uploads[(GROUP * number + index) % len(self.uploads)] for index in range(GROUP)]
            self.running, spent = self.peer.add(self.running, group)
            return spent
        if step == "decrypt":
            return self.peer.decrypt(self.total, self.length, self.robots)[1]
        raise ValueError(f"no step is called {step}")


def main():
    # Some peers print remarks to standard output, where only answers belong.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    module, name = PEERS[sys.argv[1]]
    peer, current = None, None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            peer, spent = peer or getattr(importlib.import_module(module), name)(), 0
            if request["step"] == "prepare":
                current = Round(peer, request["length"], request["robots"])
            else:
                spent = sum(current.run(request["step"], number) for number in range(request["repetitions"]))
            answer = {"cpu_ns": spent, **current.facts}
        except Exception as error:  # The caller is told, whatever it was.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
