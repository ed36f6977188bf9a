//! Who may sign as which robot.

use super::{PublicIdentity, Purpose, Signature, SignatureError};
use core::fmt;
use lwe::{NotVerified, RobotId, Verifier};
use std::collections::BTreeMap;

/// Whether a robot's signature counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Enrolled,
    /// It did once, and never will again.
    Revoked,
}

/// The robots of a fleet. The key holder keeps its own, from a source it trusts: never the server's word.
///
/// A robot's name is the fingerprint of its public identity, so nobody can be enrolled under another's name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    robots: BTreeMap<RobotId, (PublicIdentity, Standing)>,
}

/// A robot could not be enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolError {
    /// Its identity was revoked.
    Revoked,
}

impl fmt::Display for EnrolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked => f.write_str("this identity was revoked: have the robot make a new one, and enrol that"),
        }
    }
}

impl core::error::Error for EnrolError {}

/// Why a robot's signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// Nobody of this name was enrolled.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It is enrolled, and did not sign this.
    Signature(SignatureError),
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no such robot is enrolled: enrol its public identity first"),
            Self::Revoked => f.write_str("this robot's identity was revoked"),
            Self::Signature(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RegistryError {}

impl Registry {
    /// Lets the owner of this identity sign as a robot from now on. Again changes nothing.
    ///
    /// # Errors
    /// [`EnrolError`] if it was revoked.
    pub fn enrol(&mut self, public: PublicIdentity) -> Result<RobotId, EnrolError> {
        let robot = public.robot();
        match self.robots.entry(robot).or_insert((public, Standing::Enrolled)).1 {
            Standing::Enrolled => Ok(robot),
            Standing::Revoked => Err(EnrolError::Revoked),
        }
    }

    /// Ends it, for good.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`].
    pub fn revoke(&mut self, robot: RobotId) -> Result<(), RegistryError> {
        self.robots.get_mut(&robot).ok_or(RegistryError::Unknown)?.1 = Standing::Revoked;
        Ok(())
    }

    /// Everybody ever enrolled, by name.
    pub fn robots(&self) -> impl Iterator<Item = (RobotId, &PublicIdentity, Standing)> {
        self.robots.iter().map(|(robot, (public, standing))| (*robot, public, *standing))
    }

    /// Whether `robot` is enrolled and has signed these bytes of a manifest.
    ///
    /// # Errors
    /// [`RegistryError`] says why not.
    pub fn check(&self, robot: RobotId, manifest: &[u8], signature: &[u8]) -> Result<(), RegistryError> {
        match self.robots.get(&robot) {
            None => Err(RegistryError::Unknown),
            Some((_, Standing::Revoked)) => Err(RegistryError::Revoked),
            Some((public, Standing::Enrolled)) => Signature::from_bytes(signature)
                .and_then(|signature| public.verify(Purpose::Manifest, manifest, &signature))
                .map_err(RegistryError::Signature),
        }
    }
}

impl Verifier for Registry {
    fn verify(&self, robot: RobotId, signed: &[u8], signature: &[u8]) -> Result<(), NotVerified> {
        self.check(robot, signed, signature).map_err(|error| NotVerified(error.to_string()))
    }
}
