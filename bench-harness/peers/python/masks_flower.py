"""Flower's SecAgg+, by the functions that its own clients and server call, without the network and without dropouts.

Ten neighbours and itself hold the shares of a robot, seven of them restore a secret. Clipping, quantization and modulus are
Flower's defaults (8.0, 2^22, 2^32). The four stages of a client count as encryption, with all it sends; adding up what
arrives counts as adding; restoring each robot's seed and taking its mask off counts as decryption.

Flower makes a mask from 32 bits: its 32-byte seeds are folded into one word for numpy's generator.
"""

import time

import numpy as np

SHARES, THRESHOLD = 11, 7
CLIPPING, LEVELS, MODULUS = 8.0, 1 << 22, 1 << 32


class SecAggPlus:
    """One round of robots that stay: robot number is the node's name."""

    kept = 8

    def __init__(self):
        from importlib import import_module
        from importlib.metadata import version

        from flwr.common import bytes_to_ndarray, ndarrays_to_parameters
        from flwr.common.secure_aggregation import ndarrays_arithmetic, quantization, secaggplus_utils
        from flwr.common.secure_aggregation.crypto import shamir, symmetric_encryption

        # By its name: the package has a function that is called like the module.
        self.client = import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
        self.quantization, self.shamir, self.symmetric = quantization, shamir, symmetric_encryption
        self.arithmetic, self.utils = ndarrays_arithmetic, secaggplus_utils
        self.to_parameters, self.to_array = ndarrays_to_parameters, bytes_to_ndarray
        self.version = "flwr " + version("flwr")

    def begin(self, robots):
        """The stages before the update exists, for everybody."""
        if robots < SHARES:
            raise ValueError(f"{robots} robots: {SHARES} is the least")
        self.robots = [self.setup(robot, robots) for robot in range(robots)]
        self.letters = [self.share(robot) for robot in range(robots)]

    def setup(self, robot, robots):
        state = self.client.SecAggPlusState()
        state.nid = robot
        self.client._setup(
            state,
            {
                "sample_num": robots,
                "share_num": SHARES,
                "threshold": THRESHOLD,
                "clipping_range": CLIPPING,
                "target_range": LEVELS,
                "mod_range": MODULUS,
                "max_weight": 1.0,
            },
        )
        return state

    def neighbours(self, robot):
        count = len(self.robots)
        return [(robot + step) % count for step in range(-(SHARES // 2), SHARES // 2 + 1)]

    def share(self, robot):
        keys = {str(other): (self.robots[other].pk1, self.robots[other].pk2) for other in self.neighbours(robot)}
        sent = self.client._share_keys(self.robots[robot], keys)
        return dict(zip(sent["dsts"], sent["ctxts"]))

    def answer(self, robot, letters, floats):
        """The stages that need the update, and the shares that the last one gives away."""
        state = self.robots[robot]
        others = [other for other in self.neighbours(robot) if other != robot]
        received = {"ctxts": [letters[other] for other in others], "srcs": others}
        masked = self.client._collect_masked_vectors(state, received, 1, self.to_parameters([floats]))["masked_params"]
        shares = self.client._unmask(state, {"active_nids": self.neighbours(robot), "dead_nids": []})
        return masked, dict(zip(shares["nids"], shares["shares"]))

    def first(self, robot, floats):
        """A robot's upload in the round that is checked."""
        letters = {other: self.letters[other][robot] for other in self.neighbours(robot) if other != robot}
        masked, self.robots[robot].given = self.answer(robot, letters, floats)
        return self.upload(robot, masked, self.robots[robot].given)

    def encrypt(self, floats):
        """Robot 0 once more, in all four stages: with new keys, which its neighbours answer untimed."""
        kept, letters_kept = self.robots[0], self.letters[0]
        begin = time.process_time_ns()
        self.robots[0] = self.setup(0, len(self.robots))
        self.letters[0] = self.share(0)
        spent = time.process_time_ns() - begin
        letters = {other: self.letter(other, kept) for other in self.neighbours(0) if other != 0}
        begin = time.process_time_ns()
        masked, shares = self.answer(0, letters, floats)
        spent += time.process_time_ns() - begin
        upload = self.upload(0, masked, shares)
        # The round that was checked is opened again later.
        self.robots[0], self.letters[0] = kept, letters_kept
        return upload, spent

    def letter(self, other, kept):
        """What a neighbour sends to robot 0's new key: the same shares as before."""
        sender, new = self.robots[other], self.robots[0]
        keys = self.client.bytes_to_private_key(sender.sk2), self.client.bytes_to_public_key(new.pk2)
        shares = kept.rd_seed_share_dict[other], kept.sk1_share_dict[other]
        plain = self.utils.share_keys_plaintext_concat(other, 0, *shares)
        return self.symmetric.encrypt(self.symmetric.generate_shared_key(*keys), plain)

    def upload(self, robot, masked, shares):
        """The masked vector first; behind it all else that a client sends in its four stages."""
        state = self.robots[robot]
        return [*masked, state.pk1, state.pk2, *self.letters[robot].values(), *shares.values()]

    def add(self, total, uploads):
        begin = time.process_time_ns()
        for upload in uploads:
            arrays = [self.to_array(data) for data in upload[:2]]
            total = arrays if total is None else self.arithmetic.parameters_addition(total, arrays)
        return total, time.process_time_ns() - begin

    def decrypt(self, total, length, robots):
        held = [[self.robots[other].given[robot] for other in self.neighbours(robot)] for robot in range(robots)]
        begin = time.process_time_ns()
        vector = self.arithmetic.parameters_mod(total, MODULUS)
        shapes = self.arithmetic.get_parameters_shape(vector)
        for shares in held:
            seed = self.shamir.combine_shares(shares)
            mask = self.utils.pseudo_rand_gen(seed, MODULUS, shapes)
            vector = self.arithmetic.parameters_subtraction(vector, mask)
        vector = self.arithmetic.parameters_mod(vector, MODULUS)
        weight, vector = self.arithmetic.factor_extract(vector)
        (sums,) = self.quantization.dequantize(vector, CLIPPING, LEVELS)
        # The mean is all robots' sum over all robots' weights, as Flower's server has it.
        mean = (sums - (robots - 1) * CLIPPING) / (weight / LEVELS)
        return mean, time.process_time_ns() - begin

    def sum_bytes(self, total):
        return sum(array.nbytes for array in total)
