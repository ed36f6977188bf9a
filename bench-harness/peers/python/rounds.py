"""Times whole rounds of peers that are Python packages, for `tensorguard compare-peers`.

    python rounds.py tenseal|seal

One JSON request per line of standard input ({"step", "length", "robots", "repetitions"}), one answer per line of standard output.
`prepare` makes a round and compares its mean with that of the plain updates; `encrypt` (floats to bytes), `add` (four uploads,
from bytes) and `decrypt` (the sum to the mean) are timed: CPU time of this process.

tenseal: CKKS as NVFlare's HEBuilder sets it: degree 8192, moduli of 60, 40 and 40 bits, scale 2^40, symmetric encryption, and one
vector per layer: here the update is one layer. NVFlare sends a serialized context beside each vector; that is not counted.

seal: BFV by hand, as small and fast as it gets: degree 4096, one prime of 60 bits (and the one SEAL reserves), three 15-bit sums to a
coefficient, seeded ciphertexts, SEAL's default compression. Only numpy and SEAL are timed: copying coefficients from numpy
to SEAL and back, for which the wrapper has no fast way, is left out. That favours SEAL.
"""

import json
import os
import struct
import sys
import tempfile
import time

import numpy as np

GROUP = 4
RHO, DIGIT_BITS, DEGREE = 3, 15, 4096
ZERO = 127.0


def update(robot, length):
    """Uniform in [-1, 1), 24 bits each, the same on every side that is compared."""
    z = (np.uint64(robot << 32) | np.arange(length, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) / np.float32(8388608.0) - np.float32(1.0)


class Tenseal:
    """CKKS as NVFlare sets it."""

    kept = 4

    def __init__(self):
        import tenseal as ts

        self.ts = ts
        self.version = "tenseal " + ts.__version__
        self.context = ts.context(
            ts.SCHEME_TYPE.CKKS,
            poly_modulus_degree=8192,
            coeff_mod_bit_sizes=[60, 40, 40],
            encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC,
            n_threads=1,
        )
        self.context.generate_relin_keys()
        self.context.global_scale = 2**40

    def encrypt(self, floats):
        begin = time.process_time_ns()
        weighted = floats * np.float64(1.0)
        data = self.ts.ckks_vector(self.context, weighted).serialize()
        return data, time.process_time_ns() - begin

    def add(self, total, uploads):
        begin = time.process_time_ns()
        for data in uploads:
            vector = self.ts.ckks_vector_from(self.context, data)
            if total is None:
                total = vector
            else:
                total += vector
        return total, time.process_time_ns() - begin

    def decrypt(self, total, length, robots):
        begin = time.process_time_ns()
        mean = np.array(total.decrypt(secret_key=self.context.secret_key())) / robots
        return mean, time.process_time_ns() - begin

    def sum_bytes(self, total):
        return len(total.serialize())


class Seal:
    """BFV, packed by hand."""

    kept = 8

    def __init__(self):
        import tenseal
        import tenseal.sealapi as seal

        self.seal = seal
        # Memory, where the system has such a folder: the wrapper reads and writes files only.
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.path = os.path.join(self.folder.name, "object")
        parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
        parameters.set_poly_modulus_degree(DEGREE)
        parameters.set_coeff_modulus(seal.CoeffModulus.Create(DEGREE, [60, 40]))
        parameters.set_plain_modulus(seal.Modulus(1 << (RHO * DIGIT_BITS)))
        self.context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
        if not self.context.parameters_set():
            raise RuntimeError("SEAL refuses the parameters: " + self.context.parameters_error_message())
        keys = seal.KeyGenerator(self.context)
        self.encryptor = seal.Encryptor(self.context, keys.secret_key())
        self.decryptor = seal.Decryptor(self.context, keys.secret_key())
        self.evaluator = seal.Evaluator(self.context)
        self.random = np.random.default_rng(1)
        seal.Plaintext(DEGREE).save(self.path)
        with open(self.path, "rb") as file:
            self.major, self.minor = file.read(16)[3:5]
        self.version = f"SEAL {self.major}.{self.minor} of tenseal {tenseal.__version__}"

    def plaintext(self, words):
        """Coefficients into SEAL: an uncompressed object in SEAL's own format."""
        header = lambda size: struct.pack("<HBBBBHQ", 0xA15E, 16, self.major, self.minor, 0, 0, size)
        array = header(24 + 8 * DEGREE) + struct.pack("<Q", DEGREE) + words.tobytes()
        body = bytes(32) + struct.pack("<Qd", DEGREE, 1.0) + array
        with open(self.path, "wb") as file:
            file.write(header(16 + len(body)) + body)
        plain = self.seal.Plaintext()
        plain.load(self.context, self.path)
        return plain

    def encrypt(self, floats):
        per = RHO * DEGREE
        begin = time.process_time_ns()
        levels = np.zeros(-(-len(floats) // per) * per, dtype=np.uint64)
        dither = self.random.random(len(floats), dtype=np.float32)
        levels[: len(floats)] = np.clip(floats, -1.0, 1.0) * np.float32(ZERO) + np.float32(ZERO) + dither
        digits = levels.reshape(-1, RHO)
        words = digits[:, 0].copy()
        for index in range(1, RHO):
            words |= digits[:, index] << np.uint64(index * DIGIT_BITS)
        spent = time.process_time_ns() - begin
        upload = []
        for polynomial in words.reshape(-1, DEGREE):
            plain = self.plaintext(polynomial)
            begin = time.process_time_ns()
            self.encryptor.encrypt_symmetric(plain).save(self.path)
            spent += time.process_time_ns() - begin
            with open(self.path, "rb") as file:
                upload.append(file.read())
        return upload, spent

    def add(self, total, uploads):
        spent = 0
        for upload in uploads:
            loaded = []
            for data in upload:
                with open(self.path, "wb") as file:
                    file.write(data)
                begin = time.process_time_ns()
                ciphertext = self.seal.Ciphertext(self.context)
                ciphertext.load(self.context, self.path)
                if total is not None:
                    self.evaluator.add_inplace(total[len(loaded)], ciphertext)
                spent += time.process_time_ns() - begin
                loaded.append(ciphertext)
            total = total or loaded
        return total, spent

    def decrypt(self, total, length, robots):
        plain, words, spent = self.seal.Plaintext(), [], 0
        for ciphertext in total:
            begin = time.process_time_ns()
            self.decryptor.decrypt(ciphertext, plain)
            spent += time.process_time_ns() - begin
            polynomial = np.zeros(DEGREE, dtype=np.uint64)
            polynomial[: plain.coeff_count()] = [plain.data(index) for index in range(plain.coeff_count())]
            words.append(polynomial)
        words = np.concatenate(words)
        begin = time.process_time_ns()
        mask = np.uint64((1 << DIGIT_BITS) - 1)
        digits = [words >> np.uint64(index * DIGIT_BITS) & mask for index in range(RHO)]
        sums = np.stack(digits, axis=1).reshape(-1)[:length].astype(np.float32)
        mean = (sums - np.float32(ZERO * robots)) / np.float32(ZERO * robots)
        return mean, spent + time.process_time_ns() - begin

    def sum_bytes(self, total):
        size = 0
        for ciphertext in total:
            ciphertext.save(self.path)
            size += os.path.getsize(self.path)
        return size


def size(upload):
    return len(upload) if isinstance(upload, bytes) else sum(map(len, upload))


class Round:
    """A round that was run once, and is run again piece by piece."""

    def __init__(self, peer, length, robots):
        self.peer, self.length, self.robots = peer, length, robots
        plain, self.total, self.uploads = np.zeros(length), None, []
        for robot in range(robots):
            floats = update(robot, length)
            plain += floats
            upload, _ = peer.encrypt(floats)
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
    # TenSEAL prints remarks to standard output, where only answers belong.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    peer, current = {"tenseal": Tenseal, "seal": Seal}[sys.argv[1]](), None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            spent = 0
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
