#!/usr/bin/env python3
"""Known answers for identities, signatures and packages, from implementations that share no code with ours.

signatures.py writes signatures.json, --check recomputes it and fails on a difference. A few seconds.
Needs two packages: pip install cryptography==50.0.2 dilithium-py==1.5.1
"""

import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dilithium_py.ml_dsa import ML_DSA_65

SCHEME = b"TensorGuard trust 1|"
FILE = pathlib.Path(__file__).with_name("signatures.json")


def fields(label, *parts):
    state = hashlib.sha256(SCHEME + label + b"|")
    for part in parts:
        state.update(len(part).to_bytes(8, "little") + part)
    return state.digest()


def case(number, purpose, message):
    seed = hashlib.shake_256(b"seed %d" % number).digest(64)
    rnd = hashlib.shake_256(b"rnd %d" % number).digest(32)
    ed25519 = Ed25519PrivateKey.from_private_bytes(seed[:32])
    ml_dsa_public, ml_dsa_secret = ML_DSA_65.key_derive(seed[32:])
    public = ed25519.public_key().public_bytes_raw() + ml_dsa_public
    fingerprint = fields(b"identity", public)
    signed = SCHEME + purpose + b"|" + fingerprint + message
    # FIPS 204, algorithm 2: the context and its length come before the message.
    framed = bytes([0, len(purpose)]) + purpose + signed
    ml_dsa = ML_DSA_65._sign_internal(ml_dsa_secret, framed, rnd)
    assert ML_DSA_65.verify(ml_dsa_public, signed, ml_dsa, ctx=purpose)
    signature = ed25519.sign(signed) + ml_dsa
    return {
        "seed": seed.hex(),
        "rnd": rnd.hex(),
        "purpose": purpose.decode(),
        "message": message.hex(),
        "public_sha256": hashlib.sha256(public).hexdigest(),
        "fingerprint": fingerprint.hex(),
        "ed25519": signature[:64].hex(),
        "signature_sha256": hashlib.sha256(signature).hexdigest(),
    }


def cases():
    message = bytes(range(256))
    return [case(0, b"manifest", b""), case(1, b"manifest", message), case(2, b"package", message[:32])]


def cbor(value):
    """Deterministic CBOR (RFC 8949, 4.2.1) of integers, bytes, text, lists and None."""
    def head(major, number):
        for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if number < 24:
                return bytes([major << 5 | number])
            if number < 1 << 8 * size:
                return bytes([major << 5 | code]) + number.to_bytes(size, "big")

    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    text = isinstance(value, str)
    content = value.encode() if text else value
    return head(3 if text else 2, len(content)) + content


def package():
    rounds = [[bytes([number]) * 32, 20, 21] for number in (5, 6)]
    origin = [b"fleet", 3, b"\1" * 32, b"\2" * 32, b"\3" * 32, b"\4" * 32, rounds]
    notes = b"of 64 bytes, so that the signature follows without any padding.."
    contents = [("adapter", b"\7" * 100), ("empty", b""), ("notes", notes)]
    sections = [[name, len(content), hashlib.sha256(content).digest()] for name, content in contents]
    header = cbor([origin, sections])
    return {"header": header.hex(), "fingerprint": fields(b"package", b"TGPACK1\n", header).hex()}


text = json.dumps({"identities": cases(), "package": package()}, indent=1) + "\n"
if sys.argv[1:] == ["--check"]:
    sys.exit(0 if FILE.read_text() == text else "signatures.json differs from what this script makes")
FILE.write_text(text)
