//! A role in a certificate: one DNS name below a domain that no public authority signs.

use protocol::Id;

const DOMAIN: &str = "tensorguard.internal";
/// The server's name, whatever its address: what parties look for in its certificate.
pub const SERVER_NAME: &str = "server.tensorguard.internal";

/// What a certificate lets its owner do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes uploads and adds them.
    Server,
    /// Opens means.
    Holder,
    /// Sends updates; its name is that of its signing keys.
    Robot(Id),
}

impl Role {
    /// The name in the certificate. A label has 63 letters at most, so a robot's name takes two.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Server => SERVER_NAME.into(),
            Self::Holder => format!("holder.{DOMAIN}"),
            Self::Robot(id) => {
                let id = id.to_string();
                let (first, second) = id.split_at(32);
                format!("{first}.{second}.robot.{DOMAIN}")
            }
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let labels: Vec<&str> = name.strip_suffix(DOMAIN)?.strip_suffix('.')?.split('.').collect();
        match labels[..] {
            ["server"] => Some(Self::Server),
            ["holder"] => Some(Self::Holder),
            [first, second, "robot"] if first.len() == 32 => Id::parse(&[first, second].concat()).map(Self::Robot),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_is_written_and_nothing_else_is() {
        let robot = Role::Robot(Id(core::array::from_fn(|index| (17 * index) as u8)));
        for role in [Role::Server, Role::Holder, robot] {
            assert_eq!(Role::of(&role.name()), Some(role));
            assert_eq!(Role::of(&format!("x{}", role.name())), None);
            assert_eq!(Role::of(&format!("{}.org", role.name())), None);
        }
        assert_eq!(Role::of("tensorguard.internal"), None);
    }
}
