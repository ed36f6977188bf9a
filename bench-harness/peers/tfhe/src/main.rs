//! Times whole rounds by the core of tfhe: GLWE ciphertexts of one polynomial of degree 4096 mod 2^64, noise of 2^-62 (tfhe's own for this
//! dimension, 128 bits of security), packed by hand, three digits to a coefficient, secret key, seeded. On the wire: the seed, then
//! the words as they are.

use peer_worker::levels::{BASE, DIGITS, pack, unpack};
use peer_worker::round::{Round, Scheme};
use tfhe::core_crypto::commons::math::random::Seed;
use tfhe::core_crypto::prelude::*;

const DEGREE: usize = 4096;
const NOISE: f64 = 1.0 / (1u64 << 62) as f64;
const ROBOTS: usize = 100;
const SEED_LEN: usize = 16;
/// A step of the plain integers: all sums below 2^64 / STEP.
const STEP: u64 = u64::MAX / BASE.pow(DIGITS as u32);

struct Glwe {
    key: GlweSecretKeyOwned<u64>,
    seeder: Box<dyn Seeder>,
    seed: u32,
}

fn main() -> std::io::Result<()> {
    let mut round = None;
    peer_worker::serve(|request| Round::<Glwe>::serve(&mut round, request))
}

fn size() -> GlweSize {
    GlweSize(2)
}

impl Scheme for Glwe {
    type Sum = GlweCiphertextListOwned<u64>;

    fn new(robots: usize) -> Result<Self, String> {
        if robots > ROBOTS {
            return Err(format!("{robots} robots: {ROBOTS} is the most"));
        }
        let mut seeder = new_seeder();
        let mut generator = SecretRandomGenerator::<DefaultRandomGenerator>::new(seeder.seed());
        let dimension = size().to_glwe_dimension();
        let key = allocate_and_generate_new_binary_glwe_secret_key(dimension, PolynomialSize(DEGREE), &mut generator);
        Ok(Self { key, seeder, seed: 0 })
    }

    fn version(&self) -> String {
        "tfhe 1.8.2".to_owned()
    }

    fn encrypt(&mut self, _robot: usize, update: &[f32]) -> Vec<u8> {
        self.seed += 1;
        let words: Vec<u64> = pack(update, self.seed, DEGREE).into_iter().map(|word| word * STEP).collect();
        let count = GlweCiphertextCount(words.len() / DEGREE);
        let seed = self.seeder.seed();
        let modulus = CiphertextModulus::new_native();
        let mut list = SeededGlweCiphertextList::new(0u64, size(), PolynomialSize(DEGREE), count, seed.into(), modulus);
        let noise = Gaussian::from_dispersion_parameter(StandardDev(NOISE), 0.0);
        let plain = PlaintextList::from_container(words);
        encrypt_seeded_glwe_ciphertext_list(&self.key, &mut list, &plain, noise, self.seeder.as_mut());
        let mut upload = seed.0.to_le_bytes().to_vec();
        upload.reserve_exact(8 * DEGREE * count.0);
        upload.extend(list.as_ref().iter().flat_map(|word| word.to_le_bytes()));
        upload
    }

    fn add(&self, sum: &mut Option<GlweCiphertextListOwned<u64>>, upload: &[u8]) {
        let (seed, words) = upload.split_first_chunk::<SEED_LEN>().expect("a seed");
        let words: Vec<u64> = words.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let seed = Seed(u128::from_le_bytes(*seed));
        let modulus = CiphertextModulus::new_native();
        let list =
            SeededGlweCiphertextList::from_container(words, size(), PolynomialSize(DEGREE), seed.into(), modulus);
        let list = list.decompress_into_glwe_ciphertext_list();
        match sum {
            None => *sum = Some(list),
            Some(sum) => {
                for (mut sum, ciphertext) in sum.iter_mut().zip(list.iter()) {
                    glwe_ciphertext_add_assign(&mut sum, &ciphertext);
                }
            }
        }
    }

    fn decrypt(&self, sum: &GlweCiphertextListOwned<u64>, length: usize, robots: usize) -> Vec<f32> {
        let count = PlaintextCount(sum.glwe_ciphertext_count().0 * DEGREE);
        let mut plain = PlaintextList::new(0u64, count);
        decrypt_glwe_ciphertext_list(&self.key, sum, &mut plain);
        // The nearest multiple of the step.
        let words = plain.into_container().into_iter().map(|word| word.wrapping_add(STEP / 2) / STEP);
        unpack(words, length, robots)
    }

    fn sum_bytes(&self, sum: &GlweCiphertextListOwned<u64>) -> u64 {
        8 * sum.as_ref().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_robots_mean_is_right() {
        let round = Round::<Glwe>::prepare(13_000, 100).expect("a round");
        assert!(round.error_max < 1.0 / 127.0 && round.error_rms > 1e-5, "{} {}", round.error_max, round.error_rms);
    }
}
