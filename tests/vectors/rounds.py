#!/usr/bin/env python3
"""Whole rounds of vectors of plain LWE, from terms to wire bytes to opened values, by scheme.py and Python's own SHAKE256.

    rounds.py              write rounds.json
    rounds.py --check      recompute rounds.json, fail on any difference
"""
import functools
import hashlib
import json
import pathlib
import struct
import sys

sys.dont_write_bytecode = True
from scheme import A, E, S, add_secrets, add_words, pack, rule_digits, seed_of, sha, sha_u64, small, stream  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
CANARY_ROWS = range(2**32 - 64, 2**32)


def u32(x):
    return struct.pack("<I", x)


def u64(x):
    return struct.pack("<Q", x)


def shake(label, data):
    return hashlib.shake_256(b"FLHE-v1|" + label + b"|" + data)


def hash_fields(label, fields, length=32):
    return shake(label, b"".join(u32(len(field)) + field for field in fields)).digest(length)


@functools.lru_cache(maxsize=None)
def row(a_seed, i, n):
    return stream(a_seed, A, i, 0, n)


def inner(a_seed, i, secret):
    return sum(x * y for x, y in zip(row(a_seed, i, len(secret)), secret))


def encrypt(a_seed, seed, rows, values, n, bits, step):
    s = small(seed, S, 0, n)
    return [(inner(a_seed, i, s) + small(seed, E, i, 1)[0] + step * value) % 2**bits for i, value in zip(rows, values)]


def opened(phase, step, bits):
    """The nearest multiple of the step, in the integers mod 2^bits."""
    return (phase + step // 2) % 2**bits // step


def round_case(suite, n, bits, value_bits, planned, factor, length, number, fleet, weight_class):
    key, model, attempt = bytes.fromhex(seed_of(f"round key {number}")), bytes.fromhex(seed_of("round model")), 0
    suite_id = hash_fields(b"dense params", [suite.encode(), u64(n) + u64(bits)], 16)
    most = planned * factor
    limit = (2**value_bits - 1) * most + 1
    step = 2**bits // limit
    context = hash_fields(b"ctx", [b"\x01", suite_id, fleet, model, u64(number), u32(attempt), u32(bits), u32(value_bits), u32(1),
                                   u64(most), u64(length), weight_class, hash_fields(b"fleet-shared fingerprint", [key])])
    a_seed = shake(b"a", context).hexdigest(32)
    robots, bodies, seeds, messages = [], [], [], []
    for r in range(planned):
        robot = bytes.fromhex(seed_of(f"round robot {r}"))
        seed = hash_fields(b"fleet-shared message", [context, key, robot]).hex()
        rule = {"mul": 7 + 2 * r, "add": 3 + r, "mod": 2**value_bits} if r else {"mul": 0, "add": 2**value_bits - 1, "mod": 2**value_bits}
        values = rule_digits(rule, length)
        words = values + [0] * (64 - length)
        body = encrypt(a_seed, seed, range(len(words)), words, n, bits, step)
        canary = encrypt(a_seed, seed, CANARY_ROWS, [0] * 64, n, bits, step)
        upload = b"\x01U" + context[:14] + pack(canary, bits) + pack(body, bits)
        robots.append({"id": robot.hex(), "values": rule, "upload_len": len(upload), "upload_sha256": sha(upload),
                       "upload_first32": upload[:32].hex()})
        bodies.append(body)
        seeds.append(seed)
        messages.append(values)
    scaled = [word * factor % 2**bits for word in add_words(bodies, bits)]
    stored = b"\x01S" + context[:14] + u32(planned) + u32(factor) + pack(scaled, bits)
    total = [factor * s for s in add_secrets(seeds, n)]
    values = [opened((word - inner(a_seed, i, total)) % 2**bits, step, bits) for i, word in enumerate(scaled)]
    values, behind = values[:length], values[length:]
    assert not any(behind)
    assert values == [factor * sum(column) for column in zip(*messages)] and max(values) < limit
    return {"suite": suite, "dimension": n, "bits": bits, "fleet": fleet.hex(), "model": model.hex(), "round": number,
            "attempt": attempt, "class": weight_class.hex(), "value_bits": value_bits, "planned": planned, "factor": factor,
            "length": length, "key": key.hex(), "context": context.hex(), "a_seed": a_seed, "limit": limit, "step": step,
            "robots": robots, "sum_sha256": sha(stored), "sum_first32": stored[:32].hex(),
            "values_sha256": sha_u64(values), "values_first8": values[:8]}


def rounds():
    return [round_case("LWE-1024-22", 1024, 22, 6, 5, 3, 45, 7, b"fleet of five", b"class"),
            round_case("LWE-1024-22", 1024, 22, 8, 16, 1, 21, 2**40 + 1, b"", b""),
            round_case("TOY-LWE-64-22_INSECURE", 64, 22, 1, 3, 100, 301, 0, b"toy", b"")]


def main():
    path, arguments = HERE / "rounds.json", sys.argv[1:]
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    text = json.dumps(rounds(), indent=1) + "\n"
    if not arguments:
        path.write_text(text)
    elif path.read_text() != text:
        sys.exit("rounds.json differs from what rounds.py computes")
    else:
        print("rounds.json agrees")


if __name__ == "__main__":
    main()
