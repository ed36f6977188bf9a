//! Times whole rounds by fhe.rs's BFV, packed by hand, as small and fast as it gets: degree 2048 with the prime of 54 bits that its
//! documentation uses (128 bits of security), three digits to a coefficient, secret key, seeded ciphertexts, its own wire form.

use fhe::bfv::{BfvParameters, BfvParametersBuilder, Ciphertext, Encoding, Plaintext, SecretKey};
use fhe_traits::{DeserializeParametrized, FheDecoder, FheDecrypter, FheEncoder, FheEncrypter, Serialize};
use peer_worker::levels::{BASE, DIGITS, pack, unpack};
use peer_worker::round::{Round, Scheme};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;

const DEGREE: usize = 2048;
const PRIME: u64 = 0x3f_ffff_ff00_0001;
const ROBOTS: usize = 100;

struct Bfv {
    parameters: Arc<BfvParameters>,
    key: SecretKey,
    rng: StdRng,
    seed: u32,
}

fn main() -> std::io::Result<()> {
    let mut round = None;
    peer_worker::serve(|request| Round::<Bfv>::serve(&mut round, request))
}

impl Scheme for Bfv {
    type Sum = Vec<Ciphertext>;

    fn new(robots: usize) -> Result<Self, String> {
        if robots > ROBOTS {
            return Err(format!("{robots} robots: {ROBOTS} is the most"));
        }
        let mut builder = BfvParametersBuilder::new();
        builder.set_degree(DEGREE).set_moduli(&[PRIME]).set_plaintext_modulus(BASE.pow(DIGITS as u32));
        let parameters = builder.build_arc().map_err(|error| error.to_string())?;
        let mut rng = StdRng::seed_from_u64(1);
        let key = SecretKey::random(&parameters, &mut rng);
        Ok(Self { parameters, key, rng, seed: 0 })
    }

    fn version(&self) -> String {
        "fhe 0.1.1".to_owned()
    }

    fn encrypt(&mut self, _robot: usize, update: &[f32]) -> Vec<u8> {
        self.seed += 1;
        let mut upload = Vec::new();
        for words in pack(update, self.seed, DEGREE).chunks(DEGREE) {
            let plain = Plaintext::try_encode(words, Encoding::poly(), &self.parameters).expect("one polynomial");
            let ciphertext: Ciphertext = self.key.try_encrypt(&plain, &mut self.rng).expect("its own key");
            let bytes = ciphertext.to_bytes();
            upload.extend((bytes.len() as u32).to_le_bytes());
            upload.extend(bytes);
        }
        upload
    }

    fn add(&self, sum: &mut Option<Vec<Ciphertext>>, upload: &[u8]) {
        let begins = sum.is_none();
        let sum = sum.get_or_insert_default();
        let (mut rest, mut index) = (upload, 0);
        while let Some((length, tail)) = rest.split_first_chunk() {
            let (bytes, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
            let ciphertext = Ciphertext::from_bytes(bytes, &self.parameters).expect("its own bytes");
            if begins {
                sum.push(ciphertext);
            } else {
                sum[index] += &ciphertext;
            }
            (rest, index) = (tail, index + 1);
        }
    }

    fn decrypt(&self, sum: &Vec<Ciphertext>, length: usize, robots: usize) -> Vec<f32> {
        let words = sum.iter().flat_map(|ciphertext| {
            let plain = self.key.try_decrypt(ciphertext).expect("its own ciphertext");
            Vec::<u64>::try_decode(&plain, Encoding::poly()).expect("one polynomial")
        });
        unpack(words, length, robots)
    }

    fn sum_bytes(&self, sum: &Vec<Ciphertext>) -> u64 {
        sum.iter().map(|ciphertext| ciphertext.to_bytes().len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_robots_mean_is_right() {
        let round = Round::<Bfv>::prepare(7000, 100).expect("a round");
        assert!(round.error_max < 1.0 / 127.0 && round.error_rms > 1e-5, "{} {}", round.error_max, round.error_rms);
    }
}
