//! Who is shut out, while a party works: the list in its folder is looked at again and again, and a newer one counts at once.

use super::{failed, say};
use crate::failure::Failure;
use fleet_client::link::Revocations;
use std::path::{Path, PathBuf};

/// The list that counts.
pub(super) struct Outcasts {
    folder: PathBuf,
    list: Revocations,
    said: String,
}

impl Outcasts {
    /// Reads the list in a party's folder. Without one a party does not begin.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let list = Revocations::read(folder).map_err(|error| Failure::Usage(error.to_string()))?;
        let outcasts = Self { folder: folder.to_owned(), list, said: String::new() };
        if outcasts.list.robots() > 0 {
            say(outcasts.told());
        }
        Ok(outcasts)
    }

    pub(super) fn list(&self) -> &Revocations {
        &self.list
    }

    /// Looks at the folder again. True where a newer list counts from now on; what is no newer list is said once, and the one before
    /// stays.
    pub(super) fn renew(&mut self) -> bool {
        let why = match Revocations::read(&self.folder) {
            Ok(list) if list == self.list => return false,
            Ok(list) if list.number() > self.list.number() => {
                self.list = list;
                self.said.clear();
                say(self.told());
                return true;
            }
            Ok(list) => failed(format_args!("list {} of revoked robots is older", list.number())),
            Err(error) => failed(error),
        };
        let line = format!("{why}; list {} goes on counting", self.list.number());
        if line != self.said {
            say(&line);
            self.said = line;
        }
        false
    }

    fn told(&self) -> String {
        format!("list {} of revoked robots counts: {} are shut out", self.list.number(), self.list.robots())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use fleet_client::link::{Authority, REVOKED, Role};
    use fleet_client::protocol::Id;
    use std::fs;

    #[test]
    fn a_newer_list_counts_and_an_older_a_foreign_and_a_damaged_one_do_not() {
        let scratch = Scratch::new("outcasts");
        let (ours, server) = (scratch.join("authority"), scratch.join("server"));
        let authority = Authority::create(&ours).unwrap();
        authority.issue(Role::Server, &server).unwrap();
        let first = fs::read(server.join(REVOKED)).unwrap();
        let mut outcasts = Outcasts::read(&server).unwrap();
        assert!(!outcasts.renew() && outcasts.list().robots() == 0);
        let robots = [Id([0xFF; 32]), Id([0; 32])];
        for (count, robot) in robots.into_iter().enumerate() {
            assert!(!outcasts.list().names(robot));
            authority.revoke(robot).unwrap();
            assert!(!outcasts.renew(), "it is not copied yet");
            authority.copy_list(&server).unwrap();
            assert!(outcasts.renew() && outcasts.list().names(robot) && outcasts.list().robots() == count + 1);
        }
        let now = outcasts.list().clone();
        let other = Authority::create(&scratch.join("other")).unwrap();
        robots.iter().for_each(|robot| drop(other.revoke(*robot).unwrap()));
        other.revoke(Id([7; 32])).unwrap();
        let mut damaged = fs::read(server.join(REVOKED)).unwrap();
        damaged[200] ^= 1;
        for wrong in [first, fs::read(scratch.join("other").join(REVOKED)).unwrap(), damaged, vec![]] {
            fs::write(server.join(REVOKED), &wrong).unwrap();
            assert!(!outcasts.renew());
        }
        fs::remove_file(server.join(REVOKED)).unwrap();
        assert!(!outcasts.renew());
        assert_eq!(*outcasts.list(), now);
        assert!(Outcasts::read(&server).is_err(), "without a list a party does not begin");
    }
}
