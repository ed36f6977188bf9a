"""BFV by SEAL, packed by hand, as small and fast as it gets: degree 4096, one prime of 60 bits (and the one SEAL reserves), three 15-bit sums
to a coefficient, seeded ciphertexts, SEAL's default compression.

Only numpy and SEAL are timed: copying coefficients from numpy to SEAL and back, for which the wrapper has no fast way, is left out.
That favours SEAL.
"""

import os
import struct
import tempfile
import time

import numpy as np

RHO, DIGIT_BITS, DEGREE = 3, 15, 4096
ZERO = 127.0


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
