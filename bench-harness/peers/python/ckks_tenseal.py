"""CKKS by TenSEAL, as two federated frameworks set it. One vector per layer: here the update is one layer."""

import time

import numpy as np


class Nvflare:
    """As NVFlare's HEBuilder sets it: degree 8192, moduli of 60, 40 and 40 bits, scale 2^40, symmetric encryption.

    NVFlare sends a serialized context beside each vector; that is not counted.
    """

    kept = 4

    def __init__(self):
        import tenseal as ts

        self.ts = ts
        self.version = "tenseal " + ts.__version__
        self.context = self.make_context()

    def make_context(self):
        context = self.ts.context(
            self.ts.SCHEME_TYPE.CKKS,
            poly_modulus_degree=8192,
            coeff_mod_bit_sizes=[60, 40, 40],
            encryption_type=self.ts.ENCRYPTION_TYPE.SYMMETRIC,
            n_threads=1,
        )
        context.generate_relin_keys()
        context.global_scale = 2**40
        return context

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


class Fedml(Nvflare):
    """As FedML-HE sets it: degree 8192, moduli of 60, 40, 40 and 60 bits, scale 2^52, public-key encryption.

    FedML ships these keys and parameters in one file of its source, so they are the same for everybody. Each client divides by the
    number of clients before it encrypts; dividing after the sum, as here, takes the same time.
    """

    def make_context(self):
        context = self.ts.context(
            self.ts.SCHEME_TYPE.CKKS, poly_modulus_degree=8192, coeff_mod_bit_sizes=[60, 40, 40, 60], n_threads=1
        )
        context.global_scale = 2**52
        return context
