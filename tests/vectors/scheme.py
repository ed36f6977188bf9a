"""The scheme in plain big integers: slow on purpose, standard library only, sharing no code with the crates."""
import functools
import hashlib
import struct

P1, P2, P3, P22, P13 = 1073479681, 1071513601, 1070727169, 4169729, 7681
A, OVF, S, E = 1, 2, 3, 4  # stream domains
M32 = 2**32 - 1


# ---- digests and rules -------------------------------------------------------------------------------------------

def sha(data):
    return hashlib.sha256(data).hexdigest()


def sha_u32(words):
    return sha(struct.pack(f"<{len(words)}I", *words))


def sha_u64(words):
    return sha(struct.pack(f"<{len(words)}Q", *words))


def sha_i8(values):
    return sha(struct.pack(f"<{len(values)}b", *values))


def seed_of(name):
    """Seeds of the cases; they are written out in full, so no reader needs this rule."""
    return sha(b"tensorguard oracle seed " + name.encode())


def rule_bytes(label, count):
    """`label` is text. Block b is sha256(label | b as u32 LE); blocks are joined and cut to `count` bytes."""
    blocks = (count + 31) // 32
    stream = (hashlib.sha256(label.encode() + struct.pack("<I", b)).digest() for b in range(blocks))
    return b"".join(stream)[:count]


def rule_words(label, count):
    """Words of 32 bits, little-endian, of rule_bytes."""
    return list(struct.unpack(f"<{count}I", rule_bytes(label, 4 * count)))


def rule_digits(rule, count):
    """{"mul", "add", "mod"}: digit i = (i*mul + add) mod `mod`."""
    return [(i * rule["mul"] + rule["add"]) % rule["mod"] for i in range(count)]


# ---- ChaCha20 and sampling ---------------------------------------------------------------------------------------

def quarter(x, a, b, c, d):
    for first, second, shifts in ((a, b, (16, 12)), (a, b, (8, 7))):
        x[first] = (x[first] + x[second]) & M32
        y = x[d] ^ x[first]
        x[d] = (y << shifts[0] | y >> 32 - shifts[0]) & M32
        x[c] = (x[c] + x[d]) & M32
        y = x[b] ^ x[c]
        x[b] = (y << shifts[1] | y >> 32 - shifts[1]) & M32


def chacha_block(key, counter, nonce):
    """RFC 8439, 2.3: sixteen words. `nonce` is three words."""
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), counter, *nonce]
    x = list(start)
    for _ in range(10):
        for i in range(4):
            quarter(x, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return [(a + b) & M32 for a, b in zip(x, start)]


def stream(seed, domain, poly, limb, count):
    key = bytes.fromhex(seed)
    blocks = (chacha_block(key, block, (domain, poly, limb)) for block in range((count + 15) // 16))
    return [word for block in blocks for word in block][:count]


def overflow_word(block, p):
    """What replaces a rejected word: (value, whether all sixteen failed)."""
    mask = (1 << (p - 1).bit_length()) - 1
    for word in block:
        if word & mask < p:
            return word & mask, False
    return (block[0] | block[1] << 32) * p >> 64, True


@functools.lru_cache(maxsize=None)
def uniform(seed, p, n, poly, limb):
    """A uniform row in NTT order, with the counts of rejected words and of exhausted overflow blocks."""
    mask = (1 << (p - 1).bit_length()) - 1
    row, rejected, exhausted = [], 0, 0
    for i, word in enumerate(stream(seed, A, poly, limb, n)):
        value = word & mask
        if value >= p:
            rejected += 1
            value, failed = overflow_word(chacha_block(bytes.fromhex(seed), i, (OVF, poly, limb)), p)
            exhausted += failed
        row.append(value)
    return row, rejected, exhausted


@functools.lru_cache(maxsize=None)
def small(seed, domain, poly, n):
    """CBD(32): popcount(w0) - popcount(w1)."""
    words = stream(seed, domain, poly, 0, 2 * n)
    return [words[2 * i].bit_count() - words[2 * i + 1].bit_count() for i in range(n)]


# ---- the transform -----------------------------------------------------------------------------------------------

def bitrev(i, n):
    return int(format(i, f"0{n.bit_length() - 1}b")[::-1], 2)


@functools.lru_cache(maxsize=None)
def find_psi(p, n):
    assert (p - 1) % (2 * n) == 0
    g = 2
    while pow(g, (p - 1) // 2, p) != p - 1:  # psi^n = g^((p-1)/2)
        g += 1
    return pow(g, (p - 1) // (2 * n), p)


def cyclic(x, root, p):
    """Values of the polynomial x at root^0, root^1, ..: the textbook recursion, natural order."""
    if len(x) == 1:
        return x
    even, odd = cyclic(x[::2], root * root % p, p), cyclic(x[1::2], root * root % p, p)
    low, high, power = [], [], 1
    for a, b in zip(even, odd):
        b = b * power % p
        low.append((a + b) % p)
        high.append((a - b) % p)
        power = power * root % p
    return low + high


def forward(x, p):
    """Position i is the value at psi^(2*bitrev(i)+1): twist by psi^k, then a cyclic transform at psi^2."""
    n = len(x)
    psi = find_psi(p, n)
    values = cyclic([v * pow(psi, k, p) % p for k, v in enumerate(x)], psi * psi % p, p)
    return [values[bitrev(i, n)] for i in range(n)]


def inverse(values, p):
    n = len(values)
    psi_inverse = pow(find_psi(p, n), -1, p)
    natural = [values[bitrev(i, n)] % p for i in range(n)]
    x = cyclic(natural, psi_inverse * psi_inverse % p, p)
    n_inverse = pow(n, -1, p)
    return [v * pow(psi_inverse, k, p) * n_inverse % p for k, v in enumerate(x)]


def forward_direct(x, p):
    """The definition, O(n^2)."""
    n, values = len(x), []
    for i in range(n):
        point, value = pow(find_psi(p, n), 2 * bitrev(i, n) + 1, p), 0
        for coefficient in reversed(x):
            value = (value * point + coefficient) % p
        values.append(value)
    return values


# ---- the scheme --------------------------------------------------------------------------------------------------

class Ring:
    def __init__(self, n, primes):
        self.n, self.primes, self.q = n, primes, 1
        for p in primes:
            self.q *= p

    def times_a(self, a_seed, poly, small_poly):
        """a_j * (a small polynomial): one list of residues for each prime."""
        rows = []
        for limb, p in enumerate(self.primes):
            a = uniform(a_seed, p, self.n, poly, limb)[0]
            transformed = forward([v % p for v in small_poly], p)
            rows.append(inverse([x * y % p for x, y in zip(a, transformed)], p))
        return rows

    def pad(self, a_seed, seed, poly):
        product = self.times_a(a_seed, poly, small(seed, S, 0, self.n))
        error = small(seed, E, poly, self.n)
        return [[(v + e) % p for v, e in zip(row, error)] for row, p in zip(product, self.primes)]

    def round(self, residues, l):
        """To l bits with the 96-bit reciprocal: this integer formula, not the exact quotient, is the definition."""
        acc = 0
        for v, p in zip(residues, self.primes):
            y = v * pow(self.q // p, -1, p) % p
            theta = 2**96 // p
            t0, t1, t2 = theta & M32, theta >> 32 & M32, theta >> 64
            acc += (y * t0 >> 32) + y * t1 + (y * t2 << 32)
        return (acc % 2**64 + 2**(63 - l)) % 2**64 >> (64 - l)

    def round_exact(self, residues, l):
        v = sum(r * (self.q // p) * pow(self.q // p, -1, p) for r, p in zip(residues, self.primes)) % self.q
        return (2 * v * 2**l + self.q) // (2 * self.q) % 2**l


class Encoding:
    def __init__(self, ring, l, base, rho):
        self.ring, self.l, self.base, self.rho = ring, l, base, rho
        self.t = base**rho
        self.delta = ring.q // self.t

    def coefficients(self, digits):
        """m, coefficient by coefficient: a plain integer, however large the digits; missing digits are zero."""
        rho = self.rho
        return [sum(d * self.base**k for k, d in enumerate(digits[i:i + rho])) for i in range(0, len(digits), rho)]

    def seal_poly(self, a_seed, seed, poly, m):
        """Wire words of the first len(m) coefficients of one polynomial."""
        pad = self.ring.pad(a_seed, seed, poly)
        return [self.ring.round([(row[i] + self.delta * v) % p for row, p in zip(pad, self.ring.primes)], self.l)
                for i, v in enumerate(m)]

    def encrypt(self, a_seed, seed, first_poly, digits):
        m, n, words = self.coefficients(digits), self.ring.n, []
        for j in range(0, len(m), n):
            words += self.seal_poly(a_seed, seed, first_poly + j // n, m[j:j + n])
        return words

    def open_word(self, word, w):
        """(M, signed noise)."""
        q, full = self.ring.q, 2**self.l
        phase = (word - w) % full
        x = (phase + self.delta * full // (2 * q)) % full
        m = x * q // full // self.delta
        noise = (phase - (2 * self.delta * full * m + q) // (2 * q)) % full
        return m, noise - full if noise >= full // 2 else noise

    def decrypt(self, a_seed, secret, first_poly, words, digits_len):
        n, digits, noises, refused = self.ring.n, [], [], 0
        for j in range(0, len(words), n):
            rows = self.ring.times_a(a_seed, first_poly + j // n, secret)
            for i, word in enumerate(words[j:j + n]):
                m, noise = self.open_word(word, self.ring.round([row[i] for row in rows], self.l))
                if m >= self.t:
                    refused += 1
                    m = 0
                else:
                    noises.append(noise)
                digits += [m // self.base**k % self.base for k in range(self.rho)]
        return digits[:digits_len], noises, refused


def add_words(rows, l):
    return [sum(column) % 2**l for column in zip(*rows)]


def add_secrets(seeds, n):
    return [sum(column) for column in zip(*(small(seed, S, 0, n) for seed in seeds))]


def pack(words, l):
    value = 0
    for i, word in enumerate(words):
        value |= word << (i * l)
    return value.to_bytes((len(words) * l + 7) // 8, "little")


def unpack(data, l, count):
    value = int.from_bytes(data, "little")
    return [value >> (i * l) & (2**l - 1) for i in range(count)]


def as_u32(words, l):
    """Accumulator layout: one word up to 32 bits, else (low, high)."""
    return list(words) if l <= 32 else [half for word in words for half in (word & M32, word >> 32)]
