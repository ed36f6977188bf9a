"""Has SEAL, a library that shares nothing with this one, open our sums: ciphertexts mod q, before the rounding to wire words.

    python seal_opens.py < sums.json        (written and run by tests/tests/seal.rs)

SEAL gets raw numbers and does everything itself: its own transforms under its own roots of unity, its own arithmetic mod our
primes, its own decryption. A ciphertext is (C, -a): SEAL computes C + (-a)*S mod q and rounds it by t/q. Our plaintexts are
multiplied by Delta = floor(q / T), SEAL's by q/t, so the caller chooses t as the integer nearest to q / Delta; how far that
is off is in its budget. SEAL keeps its last prime to itself, hence the dummy.

Needs `tenseal`, whose wheel brings SEAL and a thin wrapper of it: see bench-harness/peers/python/requirements.txt.
Prints one JSON list of plaintext coefficients for each ciphertext.
"""

import json
import os
import struct
import sys
import tempfile

import tenseal.sealapi as seal


class Opener:
    def __init__(self, case, folder):
        self.case, self.path = case, os.path.join(folder, "object")
        self.n, self.primes = case["n"], case["primes"]
        parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
        parameters.set_poly_modulus_degree(self.n)
        parameters.set_coeff_modulus([seal.Modulus(p) for p in self.primes + [case["dummy_prime"]]])
        parameters.set_plain_modulus(seal.Modulus(case["t"]))
        self.context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
        if not self.context.parameters_set():
            raise SystemExit("SEAL refuses the parameters: " + self.context.parameters_error_message())
        # SEAL's own version is in the header of everything it saves.
        seal.Plaintext(self.n).save(self.path)
        with open(self.path, "rb") as file:
            self.version = file.read(16)[3:5]
        self.decryptor = seal.Decryptor(self.context, self.secret_key())

    def header(self, size):
        """SEAL's: magic, its own length, version, no compression, length of everything."""
        return struct.pack("<HBBBBHQ", 0xA15E, 16, *self.version, 0, 0, size)

    def words(self, words):
        """An array as SEAL saves it."""
        return self.header(24 + 8 * len(words)) + struct.pack(f"<Q{len(words)}Q", len(words), *words)

    def load(self, target, body):
        with open(self.path, "wb") as file:
            file.write(self.header(16 + len(body)) + body)
        target.load(self.context, self.path)
        return target

    def secret_key(self):
        """S as a plaintext that SEAL transforms: a saved secret key is just that."""
        coefficients = [s % self.case["t"] for s in self.case["secret_sum"]]
        body = bytes(32) + struct.pack("<Qd", self.n, 1.0) + self.words(coefficients)
        plain = self.load(seal.Plaintext(), body)
        seal.Evaluator(self.context).transform_to_ntt_inplace(plain, self.context.key_parms_id())
        plain.save(self.path)
        key = seal.SecretKey()
        key.load(self.context, self.path)
        return key

    def open(self, sums, a):
        minus_a = [[(p - x) % p for x in limb] for p, limb in zip(self.primes, a)]
        coefficients = [x for polynomial in (sums, minus_a) for limb in polynomial for x in limb]
        ids = struct.pack("<4Q", *self.context.first_parms_id())
        # Coefficients, not points; two polynomials; scale and correction factor are for other schemes.
        shape = struct.pack("<BQQQdQ", 0, 2, self.n, len(self.primes), 1.0, 1)
        ciphertext = self.load(seal.Ciphertext(), ids + shape + self.words(coefficients))
        plain = seal.Plaintext()
        self.decryptor.decrypt(ciphertext, plain)
        count = plain.coeff_count()
        return [plain.data(index) for index in range(count)] + [0] * (self.n - count)


def main():
    case = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        opener = Opener(case, folder)
        print(json.dumps([opener.open(one["sum"], one["a"]) for one in case["ciphertexts"]]))


if __name__ == "__main__":
    main()
