"""OpenFHE through its own Python wheel, at the smallest ring that its check for 128 bits lets through, depth 0, public-key encryption.

Values come and go as numpy arrays, and uploads as OpenFHE's binary form: the wheel's fastest way in and out is timed with the rest, as a
user cannot do without it.
"""

import time

import numpy as np

RING = 4096
ZERO = 127.0


class Openfhe:
    """What both schemes share."""

    kept = 8

    def __init__(self):
        import openfhe

        self.openfhe = openfhe
        parameters = self.parameters()
        parameters.SetMultiplicativeDepth(0)
        parameters.SetRingDim(RING)
        parameters.SetSecurityLevel(openfhe.SecurityLevel.HEStd_128_classic)
        parameters.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.BV)
        self.context = openfhe.GenCryptoContext(parameters)
        self.context.Enable(openfhe.PKESchemeFeature.PKE)
        self.context.Enable(openfhe.PKESchemeFeature.LEVELEDSHE)
        self.keys = self.context.KeyGen()

    def encrypt(self, floats):
        begin = time.process_time_ns()
        upload = []
        for plain in self.encode(floats):
            ciphertext = self.context.Encrypt(self.keys.publicKey, plain)
            upload.append(self.openfhe.Serialize(ciphertext, self.openfhe.BINARY))
        return upload, time.process_time_ns() - begin

    def add(self, total, uploads):
        begin = time.process_time_ns()
        for upload in uploads:
            loaded = [self.openfhe.DeserializeCiphertextString(data, self.openfhe.BINARY) for data in upload]
            if total is None:
                total = loaded
            else:
                for sum_, ciphertext in zip(total, loaded):
                    self.context.EvalAddInPlace(sum_, ciphertext)
        return total, time.process_time_ns() - begin

    def decrypt(self, total, length, robots):
        begin = time.process_time_ns()
        plains = [self.context.Decrypt(self.keys.secretKey, ciphertext) for ciphertext in total]
        mean = self.decode(plains)[:length]
        return self.divide(mean, robots), time.process_time_ns() - begin

    def sum_bytes(self, total):
        return sum(len(self.openfhe.Serialize(ciphertext, self.openfhe.BINARY)) for ciphertext in total)


class Ckks(Openfhe):
    """CKKS: one modulus of 60 bits, scale 2^50, 2048 values to a ciphertext."""

    def parameters(self):
        self.version = "openfhe " + version_of("openfhe")
        parameters = self.openfhe.CCParamsCKKSRNS()
        parameters.SetFirstModSize(60)
        parameters.SetScalingModSize(50)
        parameters.SetScalingTechnique(self.openfhe.ScalingTechnique.FIXEDMANUAL)
        parameters.SetBatchSize(RING // 2)
        return parameters

    def encode(self, floats):
        values = floats.astype(np.float64)
        return (self.context.MakeCKKSPackedPlaintext(part) for part in parts(values, RING // 2))

    def decode(self, plains):
        return np.concatenate([plain.GetRealPackedValueArray() for plain in plains])

    def divide(self, sums, robots):
        return sums / robots


class Bfv(Openfhe):
    """BFV: plain modulus 65537, one 8-bit value to each of 4096 slots: sums of up to 257 robots."""

    def parameters(self):
        self.version = "openfhe " + version_of("openfhe")
        self.random = np.random.default_rng(1)
        parameters = self.openfhe.CCParamsBFVRNS()
        parameters.SetPlaintextModulus(65537)
        parameters.SetEvalAddCount(100)
        return parameters

    def encode(self, floats):
        dither = self.random.random(len(floats), dtype=np.float32)
        levels = np.clip(floats, -1.0, 1.0) * np.float32(ZERO) + np.float32(ZERO) + dither
        return (self.context.MakePackedPlaintext(part) for part in parts(levels.astype(np.int64), RING))

    def decode(self, plains):
        # Slots count from -32768.
        return np.concatenate([plain.GetPackedValueArray() for plain in plains]) % 65537

    def divide(self, sums, robots):
        return (sums - ZERO * robots) / (ZERO * robots)


def parts(values, count):
    return (values[first : first + count] for first in range(0, len(values), count))


def version_of(package):
    from importlib.metadata import version

    return version(package)
