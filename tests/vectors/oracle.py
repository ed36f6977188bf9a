#!/usr/bin/env python3
"""The oracle: known answers from plain big integers, written from the scheme's equations (scheme.py) alone.

    oracle.py              write known_answers.json
    oracle.py --check      recompute known_answers.json, fail on any difference
    oracle.py --check-kat  reproduce every answer of kat.json, an independent file
"""
import hashlib
import json
import pathlib
import struct
import sys

sys.dont_write_bytecode = True
from scheme import (A, E, M32, OVF, P1, P13, P2, P22, P3, S, Encoding, Ring, add_secrets, add_words, as_u32,  # noqa: E402
                    chacha_block, find_psi, forward, forward_direct, inverse, pack, rule_bytes, rule_digits, rule_words,
                    seed_of, sha, sha_i8, sha_u32, sha_u64, small, stream, uniform, unpack)

HERE = pathlib.Path(__file__).resolve().parent


# ---- the cases ---------------------------------------------------------------------------------------------------

def ntt_cases():
    cases = []
    sizes = [(p, n) for p in (P1, P2, P3) for n in (256, 1024, 2048, 4096)] + [(P1, 32768)]
    for p, n in sizes + [(P22, n) for n in (256, 1024, 4096)]:
        words = [struct.unpack("<I", hashlib.sha256(b"ntt" + struct.pack("<I", i)).digest()[:4])[0] for i in range(n)]
        f, g = forward(words, p), inverse(words, p)
        if n == 256:
            assert f == forward_direct(words, p)
        assert forward(g, p) == [w % p for w in words]
        cases.append({"p": p, "n": n, "psi": find_psi(p, n), "input_sha256": sha_u32(words), "input_first4": words[:4],
                      "forward_sha256": sha_u32(f), "forward_first4": f[:4],
                      "inverse_sha256": sha_u32(g), "inverse_first4": g[:4]})
    return cases


def uniform_case(seed, p, n, poly, limb):
    row, rejected, exhausted = uniform(seed, p, n, poly, limb)
    mask = (1 << (p - 1).bit_length()) - 1
    first = next((i for i, w in enumerate(stream(seed, A, poly, limb, n)) if w & mask >= p), None)
    return {"seed": seed, "p": p, "n": n, "poly": poly, "limb": limb, "rejected": rejected, "exhausted": exhausted,
            "first_rejected": first, "first_rejected_value": None if first is None else row[first],
            "sha256": sha_u32(row), "first4": row[:4]}


def expand_cases():
    seed, other = seed_of("expand"), seed_of("expand 2")
    blocks = [(seed, A, 0, 0, 0), (seed, A, 5, 1, 17), (seed, A, 0, 0, M32), (seed, A, M32, 0, 0), (seed, OVF, 7, 1, 31),
              (other, S, 0, 0, 1), (other, E, M32, 0, M32), (bytes(range(32)).hex(), 0x09000000, 0x4A000000, 0, 1)]
    rows = [(seed, p, n, poly, limb) for p, n, limb in ((P1, 4096, 0), (P2, 4096, 1), (P1, 2048, 0), (P22, 1024, 0))
            for poly in (0, M32)]
    rows += [(other, P3, 256, 3, 2), (other, P22, 4096, 9, 0), (other, 65537, 32768, EXHAUSTING_POLY, 0)]
    cbd = [(other, name, poly, n) for n in (256, 1024, 2048, 4096) for name, poly in (("S", 0), ("E", 0), ("E", M32))]
    smalls = []
    for s, name, poly, n in cbd:
        values = small(s, {"S": S, "E": E}[name], poly, n)
        smalls.append({"seed": s, "stream": name, "poly": poly, "n": n, "sha256": sha_i8(values), "first8": values[:8]})
    return {"blocks": [{"seed": s, "domain": d, "poly": j, "limb": i, "counter": c,
                        "words": chacha_block(bytes.fromhex(s), c, (d, j, i))} for s, d, j, i, c in blocks],
            "uniform": [uniform_case(*row) for row in rows], "small": smalls}


EXHAUSTING_POLY = 2  # one coefficient of this row finds all sixteen overflow words rejected; found by search, asserted below


def pad_cases():
    cases = []
    for n, primes, first in ((4096, [P1, P2], 0), (4096, [P1, P2], M32 - 1), (2048, [P1], 3), (2048, [P1], M32 - 1),
                             (1024, [P22], 0), (1024, [P22], M32 - 1), (256, [P3], 11), (256, [P2, P1, P3], 1)):
        ring, a_seed, seed = Ring(n, primes), seed_of(f"pad a {n}"), seed_of(f"pad message {n}")
        words = [v for poly in (first, first + 1) for row in ring.pad(a_seed, seed, poly) for v in row]
        cases.append({"n": n, "primes": primes, "a_seed": a_seed, "message_seed": seed, "first_poly": first, "polys": 2,
                      "sha256": sha_u32(words), "first4": words[:4]})
    return cases


def encoding_of(encoding):
    """How a case names its encoding. What the crates refuse to make is no case."""
    ring, l = encoding.ring, encoding.l
    assert l <= 57 and 2**l < ring.q and encoding.delta * 2**l >= 2 * ring.q, "the wire step is below two"
    return {"n": ring.n, "primes": ring.primes, "l": l, "B": encoding.base, "rho": encoding.rho, "Delta": str(encoding.delta)}


HOSTILE = {"mul": 0, "add": M32, "mod": 2**32}
ZERO = {"mul": 0, "add": 0, "mod": 1}


def encrypt_cases():
    big, b24 = [P1, P2], (2**24 - 1) * 100 + 1
    table = [(4096, big, 50, 25501, 3, 5, 12590, None), (4096, big, 50, 25501, 3, M32 - 1, 12290, HOSTILE),
             (4096, big, 37, b24, 1, 0, 5000, None), (4096, big, 37, b24, 1, 0, 300, HOSTILE),
             (4096, big, 55, 25501, 3, 9, 7000, None), (4096, big, 48, 151, 6, 1, 24581, None),
             (4096, big, 32, (2**24 - 1) * 10 + 1, 1, 2, 1000, None), (4096, big, 33, b24, 1, 2, 1001, None),
             (4096, big, 50, 25501, 3, M32, 64 * 3, ZERO),
             (2048, [P1], 21, 25501, 1, 5, 3001, None), (2048, [P1], 28, 151, 2, 0, 4097, HOSTILE),
             (1024, [P22], 17, 1501, 1, 5, 1501, None), (1024, [P22], 20, 2551, 1, 0, 1025, HOSTILE),
             (1024, [P22], 12, 151, 1, M32 - 1, 2047, None),
             (256, big, 50, 25501, 3, 77, 3001, None), (256, big, 50, 25501, 3, 77, 1, None), (256, big, 50, 25501, 3, 77, 0, None)]
    cases = []
    for n, primes, l, base, rho, first, count, rule in table:
        rule = rule or {"mul": 7, "add": 3, "mod": base}
        encoding = Encoding(Ring(n, primes), l, base, rho)
        a_seed, seed = seed_of(f"encrypt a {n}"), seed_of(f"encrypt message {n}")
        words = encoding.encrypt(a_seed, seed, first, rule_digits(rule, count))
        body = pack(words, l)
        assert unpack(body, l, len(words)) == words
        cases.append({"encoding": encoding_of(encoding), "a_seed": a_seed, "message_seed": seed, "first_poly": first,
                      "digits": rule, "digits_len": count, "coefficients": len(words), "bytes": len(body), "sha256": sha(body), "first32": body[:32].hex()})
    return cases


def sum_cases():
    cases = []
    for l, count in [(l, 67) for l in (1, 8, 12, 16, 17, 21, 31, 32, 33, 48, 50, 55, 57)] + [(50, 1), (17, 1000), (21, 64)]:
        labels = [f"sum row {r}" for r in range(3)]
        row_bytes = (count * l + 7) // 8
        rows = [unpack(rule_bytes(label, row_bytes), l, count) for label in labels]
        width = 1 if l <= 32 else 2
        preload = rule_words("sum accumulator", count * width)
        start = [sum(half << 32 * k for k, half in enumerate(preload[i:i + width])) for i in range(0, len(preload), width)]
        words = as_u32(add_words([start, *rows], l), l)
        cases.append({"l": l, "coefficients": count, "row_bytes": row_bytes, "row_labels": labels,
                      "accumulator_label": "sum accumulator", "sha256": sha_u32(words), "first4": words[:4]})
    return cases


def decrypt_case(n, primes, l, base, rho, first, count, clients, kind):
    encoding = Encoding(Ring(n, primes), l, base, rho)
    a_seed, seeds = seed_of(f"decrypt a {n}"), [seed_of(f"decrypt message {c}") for c in range(clients)]
    coefficients, width = -(-count // rho), 1 if l <= 32 else 2
    case = {"encoding": encoding_of(encoding), "a_seed": a_seed, "secret_seeds": seeds, "first_poly": first, "digits_len": count}
    if kind == "words":
        words = rule_words("decrypt accumulator", coefficients * width)
        case["accumulator"] = {"label": "decrypt accumulator"}
    elif kind == "edges":
        words = as_u32(edge_words(encoding, a_seed, add_secrets(seeds, n), first, coefficients), l)
        case["accumulator"] = {"words": words}
    else:
        largest = {"honest": (base - 1) // clients, "overflow": M32}[kind]
        rules = [HOSTILE if kind == "overflow" else {"mul": 7 + 2 * c, "add": 3 + c, "mod": largest + 1} for c in range(clients)]
        digits = [rule_digits(rule, count) for rule in rules]
        words = as_u32(add_words([encoding.encrypt(a_seed, s, first, d) for s, d in zip(seeds, digits)], l), l)
        case["accumulator"] = {"encryptions": [{"message_seed": s, "digits": r} for s, r in zip(seeds, rules)]}
    joined = [sum(half << 32 * k for k, half in enumerate(words[i:i + width])) % 2**l for i in range(0, len(words), width)]
    opened, noises, refused = encoding.decrypt(a_seed, add_secrets(seeds, n), first, joined, count)
    if kind == "honest":
        assert refused == 0 and opened == [sum(column) for column in zip(*digits)]
    noise = {"coefficients": coefficients, "refused": refused, "max_abs": str(max(map(abs, noises), default=0)),
             "sum": str(sum(noises)), "sum_squares": str(sum(v * v for v in noises))}
    return {**case, "kind": kind, "accumulator_sha256": sha_u32(words), "accumulator_first4": words[:4],
            "digits_sha256": sha_u32(opened), "digits_first8": opened[:8], "noise": noise}


def edge_words(encoding, a_seed, secret, first, count):
    """Words whose phases lie on both sides of where values become too large, and of the wrap to zero, in turn."""
    ring, l, q = encoding.ring, encoding.l, encoding.ring.q
    too_large = -(-encoding.t * encoding.delta * 2**l // q)  # the smallest x that opens to T, unless x * q / 2^l rounds
    edges = [x + d for x in (too_large, 2**l) for d in (-2, -1, 0, 1)]
    half = encoding.delta * 2**l // (2 * q)
    mask = [ring.round(list(column), l) for column in zip(*ring.times_a(a_seed, first, secret))]
    return [(mask[i] + edges[i % len(edges)] - half) % 2**l for i in range(count)]


def gap_base(primes, delta, rho):
    """The smallest base that leaves Delta <= `delta`: the gap q - T * Delta is then nearly as large as it can be."""
    q = Ring(256, primes).q
    base = round((q / (delta + 1)) ** (1 / rho)) - 2
    assert q // base**rho > delta
    while q // base**rho > delta:
        base += 1
    return base


def refused_cases():
    """Random words and edges where a step of two leaves a gap above T * Delta that many phases fall into."""
    big, mixed, little = [P1, P2], [P22, P3], [P13, P22]
    table = [(256, big, 57, 16, 2, 600), (256, big, 55, 64, 3, 901), (4096, big, 50, 2048, 2, 12001),
             (256, mixed, 51, 4, 2, 514), (256, mixed, 40, 8191, 3, 9001), (256, little, 34, 4, 2, 515),
             (256, little, 33, 8, 1, 257), (256, little, 32, 16, 1, 300), (256, little, 31, 32, 4, 1030),
             (2048, [P1], 29, 4, 1, 2050), (1024, [P1], 28, 8, 2, 2051), (1024, [P22], 21, 4, 1, 1030),
             (1024, [P22], 20, 8, 3, 3080), (256, [P13], 12, 4, 1, 260)]
    cases = []
    for n, primes, l, delta, rho, count in table:
        base = gap_base(primes, delta, rho)
        for kind, digits in (("words", count), ("edges", 10 * rho)):
            case = decrypt_case(n, primes, l, base, rho, 3, digits, 2, kind)
            assert 0 < case["noise"]["refused"] < case["noise"]["coefficients"], (kind, l, primes)
            cases.append(case)
    return cases


def decrypt_cases():
    big = [P1, P2]
    return refused_cases() + [decrypt_case(*row) for row in (
        (4096, big, 50, 25501, 3, 5, 4099, 3, "honest"), (4096, big, 37, (2**24 - 1) * 100 + 1, 1, M32 - 1, 4200, 3, "honest"),
        (2048, [P1], 21, 25501, 1, 0, 2050, 3, "honest"), (1024, [P22], 17, 1501, 1, 5, 1030, 3, "honest"),
        (256, big, 55, 151, 6, M32 - 1, 3001, 5, "honest"), (256, big, 32, (2**24 - 1) * 10 + 1, 1, 4, 300, 2, "honest"),
        (256, big, 50, 25501, 3, 8, 1000, 2, "overflow"), (1024, [P22], 17, 1501, 1, 0, 1000, 2, "overflow"),
        (4096, big, 50, 25501, 3, 0, 4001, 2, "words"), (2048, [P1], 21, 25501, 1, 0, 2049, 2, "words"),
        (1024, [P22], 20, 199032, 1, 0, 1024, 2, "words"), (256, big, 50, 151, 1, 0, 500, 2, "words"),
        (256, big, 55, 2, 1, 1, 257, 2, "words"), (1024, [P22], 17, 1501, 1, 0, 1024, 1, "words"),
        (4096, big, 50, 25501, 3, 7, 30, 3, "edges"), (2048, [P1], 21, 25501, 1, 7, 10, 3, "edges"),
        (1024, [P22], 17, 1501, 1, 7, 10, 3, "edges"), (256, big, 37, (2**24 - 1) * 100 + 1, 1, 7, 10, 3, "edges"))]


def dense_cases():
    n, mask = 1024, 2**22 - 1
    a_seed, seeds, cases = seed_of("dense a"), [seed_of("dense 0"), seed_of("dense 1")], []
    s, total = small(seeds[0], S, 0, n), add_secrets(seeds, n)
    for first in (0, 1000, 2**32 - 69, 2**32 - 66, 2**32 - 64, 2**32 - 5):
        rows = [[w & mask for w in stream(a_seed, A, i, 0, n)] for i in range(first, first + 5)]
        errors = [small(seeds[0], E, i, 1)[0] for i in range(first, first + 5)]
        cases.append({"bits": 22, "dimension": n, "a_seed": a_seed, "message_seed": seeds[0], "secret_seeds": seeds,
                      "first_row": first, "rows": 5, "errors": errors,
                      "pad": [(sum(x * y for x, y in zip(row, s)) + e) & mask for row, e in zip(rows, errors)],
                      "sum_inner": [sum(x * y for x, y in zip(row, total)) & mask for row in rows]})
    return cases


# ---- doors -------------------------------------------------------------------------------------------------------

def self_checks():
    rfc = chacha_block(bytes(range(32)), 1, (0x09000000, 0x4A000000, 0))  # RFC 8439, 2.3.2
    assert rfc[:4] == [0xE4E7F110, 0x15593BD1, 0x1FDD0F50, 0xC47120A3] and rfc[15] == 0x4E3C50A2
    assert find_psi(P1, 2048) == 762388463 and find_psi(P1, 4096) == 371836615
    assert find_psi(P2, 4096) == 250036504 and find_psi(P22, 1024) == 2347793


def known_answers():
    self_checks()
    answers = {"ntt": ntt_cases(), "expand": expand_cases(), "pad": pad_cases(), "encrypt": encrypt_cases(),
               "sum": sum_cases(), "decrypt": decrypt_cases(), "dense": dense_cases()}
    assert any(case["exhausted"] for case in answers["expand"]["uniform"])
    return answers


def kat_answers(given):
    """One suite of kat.json, from its inputs; also how many words the exact rounding would change."""
    n, primes, l, base, rho, poly = (given[k] for k in ("n", "primes", "l", "B", "rho", "poly"))
    ring = Ring(n, primes)
    encoding, a_seed = Encoding(ring, l, base, rho), given["a_seed"]
    ahat = [uniform(a_seed, p, n, poly, limb)[0] for limb, p in enumerate(primes)]
    largest, clients, cts, differ = (base - 1) // 100, [], [], 0
    for c, client in enumerate(given["clients"]):
        seed = client["seed"]
        m = encoding.coefficients([(i * 7 + c) % (largest + 1) for i in range(n * rho)])
        ct = encoding.seal_poly(a_seed, seed, poly, m)
        pad = ring.pad(a_seed, seed, poly)
        exact = [ring.round_exact([(row[i] + encoding.delta * v) % p for row, p in zip(pad, primes)], l) for i, v in enumerate(m)]
        differ += sum(x != y for x, y in zip(ct, exact))
        cts.append(ct)
        clients.append({"seed": seed, "s_sha256": sha_i8(small(seed, S, 0, n)), "e_sha256": sha_i8(small(seed, E, poly, n)),
                        "ct_sha256": sha_u64(ct), "ct_first4": ct[:4]})
    total = add_words(cts, l)
    secret = add_secrets([client["seed"] for client in given["clients"]], n)
    _, noises, refused = encoding.decrypt(a_seed, secret, poly, total, n * rho)
    assert refused == 0
    mean = sum(noises) / n
    std = (sum((v - mean) ** 2 for v in noises) / n) ** 0.5
    return differ, {"n": n, "primes": primes, "psi": [find_psi(p, n) for p in primes], "l": l, "B": base, "rho": rho,
                    "Delta": str(encoding.delta), "a_seed": a_seed, "poly": poly, "ahat_sha256": [sha_u32(row) for row in ahat],
                    "ahat0_first4": ahat[0][:4], "clients": clients, "sum_sha256": sha_u64(total),
                    "noise_max": max(map(abs, noises)), "noise_std": std}


def check_kat():
    self_checks()
    failures = 0
    for suite, given in json.loads((HERE / "kat.json").read_text()).items():
        differ, answers = kat_answers(given)
        assert set(answers) == set(given), "kat.json has fields the oracle does not know"
        for key, value in given.items():
            same = abs(answers[key] - value) < 1e-9 if key == "noise_std" else answers[key] == value
            if not same:
                failures += 1
                print(f"{suite}.{key}: kat.json has {value}, the oracle {answers[key]}")
        print(f"{suite}: checked; exact rounding would change {differ} words")
    return failures


def render(answers):
    """Stable text: one case a line."""
    def lines(cases):
        return "[\n  " + ",\n  ".join(json.dumps(case) for case in cases) + "\n ]"
    parts = []
    for name, cases in answers.items():
        if isinstance(cases, dict):
            inner = ",\n ".join(f'"{key}": {lines(value)}' for key, value in cases.items())
            parts.append(f'"{name}": {{\n {inner}\n }}')
        else:
            parts.append(f'"{name}": {lines(cases)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main():
    path, arguments = HERE / "known_answers.json", sys.argv[1:]
    if arguments == ["--check-kat"]:
        sys.exit(1 if check_kat() else 0)
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    text = render(known_answers())
    if not arguments:
        path.write_text(text)
    elif path.read_text() != text:
        sys.exit("known_answers.json differs from what the oracle computes")
    else:
        print("known_answers.json agrees")


if __name__ == "__main__":
    main()
