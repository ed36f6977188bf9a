#!/usr/bin/env python3
"""Known answers for identities and signatures, from implementations that share no code with ours.

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


text = json.dumps({"identities": cases()}, indent=1) + "\n"
if sys.argv[1:] == ["--check"]:
    sys.exit(0 if FILE.read_text() == text else "signatures.json differs from what this script makes")
FILE.write_text(text)
