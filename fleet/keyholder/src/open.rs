//! From a question to its answer: signatures, canaries, the sum, the mean.

use crate::means::{Means, Opened};
use folding::Question;
use folding::lwe::{
    AnswerLog, Attempt, Entry, HolderKey, Keys, Manifest, Policy, Refusal, StoredSumError, VerifiedManifest, Verifier,
    close,
};
use kernels::Backend;
use link::{Link, LinkError};
use protocol::{Answer, Attempted, Id, Refused, Signed, Terms};
use sha2::{Digest, Sha256};

/// The key, and everything that decides for what it is used.
pub struct Custody<'a> {
    /// The key.
    pub key: &'a HolderKey,
    /// Which fleet it is for.
    pub fleet: String,
    /// Who may sign as which robot: this party's own list, never the server's word.
    pub verifier: &'a dyn Verifier,
    /// How few robots a mean may have.
    pub policy: Policy,
    /// What was answered before.
    pub log: &'a mut dyn AnswerLog,
    /// Where means are kept.
    pub means: Means,
    /// Who computes.
    pub backend: &'a dyn Backend,
}

impl std::fmt::Debug for Custody<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Custody({:?})", self.fleet)
    }
}

/// Why there is no answer yet: asked again later.
pub(crate) enum NotNow {
    Lost(String),
    Failed(String),
}

fn used_up(why: impl std::fmt::Display) -> Answer {
    Answer::UsedUp(bounded(why))
}

fn spent(why: impl std::fmt::Display) -> Answer {
    Answer::Spent(bounded(why))
}

fn bounded(why: impl std::fmt::Display) -> String {
    why.to_string().chars().take(300).collect()
}

/// What a mean was made from, in the order of the robots' names.
fn digest(verified: &[VerifiedManifest]) -> Id {
    let mut manifests: Vec<&Manifest> = verified.iter().map(VerifiedManifest::manifest).collect();
    manifests.sort_by_key(|manifest| manifest.robot());
    let mut digest = Sha256::new();
    manifests.into_iter().for_each(|manifest| digest.update(manifest.to_bytes()));
    Id(digest.finalize().into())
}

impl Custody<'_> {
    /// Answers a question, or says why not now.
    pub(crate) async fn open(
        &mut self,
        link: &mut Link,
        terms: &Terms,
        revision: u32,
        signed: &[Signed],
    ) -> Result<Answer, NotNow> {
        let failed = |what: &dyn std::fmt::Display| NotNow::Failed(what.to_string());
        if terms.fleet != self.fleet || terms.holder.0 != self.key.public().fingerprint() {
            return Err(NotNow::Failed(format!(
                "a question of fleet {:?} for key {}: not this key holder's; ask whoever runs the server",
                terms.fleet,
                terms.holder.short()
            )));
        }
        if self.means.get(terms).map_err(|error| failed(&error))?.is_some() {
            return Ok(Answer::Opened);
        }
        let round = terms.round().map_err(|error| failed(&error))?;
        let (verified, strangers) = self.verify(&round, signed);
        if !strangers.is_empty() {
            return Ok(Answer::LeaveOut(strangers));
        }
        let len = round.agreement().sum_len() as u64;
        let bytes = link.sum(revision, len).await.map_err(|error| match error {
            LinkError::Refused(Refused::OtherRound) => NotNow::Failed("the set has changed".into()),
            error => NotNow::Lost(error.to_string()),
        })?;
        let sum = match round.agreement().read_sum(&bytes, self.backend) {
            Ok(sum) => sum,
            Err(StoredSumError::Backend(fault)) => return Err(failed(&fault)),
            Err(StoredSumError::Malformed(error)) => return Err(failed(&format_args!("the server's sum is {error}"))),
        };
        let question = Question::new(Keys::Holder(self.key)).under(self.policy);
        match round.open(&question, &sum, &verified, self.log, self.backend) {
            Ok(mean) => {
                let attempted = Attempted { round: terms.round, attempt: terms.attempt };
                let opened = Opened { mean, manifests: digest(&verified) };
                Ok(self.means.put(attempted, &opened).map_or_else(spent, |()| Answer::Opened))
            }
            Err(refusal) => self.refused(terms, refusal),
        }
    }

    /// Manifests whose signatures are good, and the robots of the others.
    fn verify(&self, round: &folding::Round, signed: &[Signed]) -> (Vec<VerifiedManifest>, Vec<Id>) {
        let (mut verified, mut strangers) = (Vec::new(), Vec::new());
        for Signed { manifest, signature } in signed {
            let Ok(manifest) = Manifest::from_bytes(round.agreement(), manifest) else { continue };
            let robot = manifest.robot();
            match VerifiedManifest::check(manifest, signature, self.verifier) {
                Ok(manifest) => verified.push(manifest),
                Err(_) => strangers.push(Id::from(robot)),
            }
        }
        (verified, strangers)
    }

    fn refused(&mut self, terms: &Terms, refusal: Refusal) -> Result<Answer, NotNow> {
        match refusal {
            Refusal::Canary(robots) | Refusal::UpdateAnswered(robots) => {
                Ok(Answer::LeaveOut(robots.into_iter().map(Id::from).collect()))
            }
            Refusal::Key(robot, _) => Ok(Answer::LeaveOut(vec![robot.into()])),
            Refusal::Answered(attempt) => self.settled(attempt, refusal),
            Refusal::Mismatch(_) => Ok(spent(refusal)),
            Refusal::TooFew { .. } => {
                self.close(terms)?;
                Ok(used_up(refusal))
            }
            // What else there is, this server can mend or this party must: nothing was used up.
            refusal => Err(NotNow::Failed(refusal.to_string())),
        }
    }

    /// What is left of an attempt that was settled before: answered, its updates are in the log; closed, they are in nobody's.
    fn settled(&mut self, attempt: Attempt, why: impl std::fmt::Display) -> Result<Answer, NotNow> {
        let entries = self.log.entries().map_err(|error| NotNow::Failed(error.to_string()))?;
        let answered = |entry: &Entry| matches!(entry, Entry::Answered { attempt: known, .. } if *known == attempt);
        Ok(if entries.iter().any(answered) { spent(why) } else { used_up(why) })
    }

    /// Records that an attempt gets no answer.
    pub(crate) fn close(&mut self, terms: &Terms) -> Result<Answer, NotNow> {
        if terms.fleet != self.fleet {
            return Err(NotNow::Failed(format!(
                "a question of fleet {:?}, this key holder is of {:?}",
                terms.fleet, self.fleet
            )));
        }
        let round = terms.round().map_err(|error| NotNow::Failed(error.to_string()))?;
        match close(round.agreement().attempt(), self.log) {
            Ok(()) => Ok(used_up("too few robots")),
            Err(Refusal::Answered(attempt)) => self.settled(attempt, "too few robots"),
            Err(refusal) => Err(NotNow::Failed(refusal.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use folding::lwe::{ForgetfulLog, HOLDER_SEED_LEN, NotVerified, RobotId};
    use kernels::Secret;
    use kernels::cpu::Cpu;
    use std::path::Path;

    struct Nobody;

    impl Verifier for Nobody {
        fn verify(&self, _robot: RobotId, _signed: &[u8], _signature: &[u8]) -> Result<(), NotVerified> {
            Err(NotVerified("nobody is enrolled".into()))
        }
    }

    fn key() -> HolderKey {
        HolderKey::from_seed(&Secret::new([7; HOLDER_SEED_LEN]))
    }

    fn terms(key: &HolderKey, attempt: u32) -> Terms {
        Terms {
            fleet: "arms".into(),
            round: 3,
            attempt,
            model: Id([1; 32]),
            holder: Id(key.public().fingerprint()),
            length: 100,
            bits: 8,
            clip: 0.5,
            planned: 20,
            quorum: 18,
            least: 16,
        }
    }

    fn custody<'a>(key: &'a HolderKey, log: &'a mut ForgetfulLog, backend: &'a Cpu) -> Custody<'a> {
        Custody {
            key,
            fleet: "arms".into(),
            verifier: &Nobody,
            policy: Policy::default(),
            log,
            means: Means::new(Path::new("unused")),
            backend,
        }
    }

    /// Which attempt is to be closed is the server's word.
    #[test]
    fn a_server_cannot_have_attempts_closed_out_of_order() {
        let (key, mut log, cpu) = (key(), ForgetfulLog::default(), Cpu::best(1));
        let mut custody = custody(&key, &mut log, &cpu);
        let refused = custody.close(&terms(&key, 1));
        assert!(matches!(refused, Err(NotNow::Failed(why)) if why == "attempt 0 is still open: close it first"));
        assert!(matches!(custody.close(&terms(&key, 0)), Ok(Answer::UsedUp(_))));
        assert!(matches!(custody.close(&terms(&key, 1)), Ok(Answer::UsedUp(_))));
        assert_eq!(log.entries().map(|entries| entries.len()), Ok(2));
    }

    /// A server that asks again is told the same, so that it goes on to the right attempt.
    #[test]
    fn what_was_answered_has_spent_its_updates_and_what_was_closed_has_not() {
        let (key, mut log, cpu) = (key(), ForgetfulLog::default(), Cpu::best(1));
        let attempt = |number| terms(&key, number).round().expect("a round").agreement().attempt();
        log.append(&Entry::Closed { attempt: attempt(0) }).expect("a log");
        log.append(&Entry::Answered { attempt: attempt(1), set: [0; 32], updates: vec![[1; 32]] }).expect("a log");
        let mut custody = custody(&key, &mut log, &cpu);
        for (number, spent) in [(0, false), (1, true)] {
            let asked = [
                custody.close(&terms(&key, number)),
                custody.refused(&terms(&key, number), Refusal::Answered(attempt(number))),
            ];
            for answer in asked {
                let Ok(answer) = answer else { panic!("attempt {number} is settled") };
                assert_eq!(matches!(answer, Answer::Spent(_)), spent, "{answer:?}");
                assert_eq!(matches!(answer, Answer::UsedUp(_)), !spent, "{answer:?}");
            }
        }
        assert_eq!(log.entries().map(|entries| entries.len()), Ok(2));
    }
}
