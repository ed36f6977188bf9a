//! What this program was built from: `build.rs` looked.

use crate::record::Git;

/// The commit, and `+changes` where tracked files that go into the program differed from it; none where it was built outside of a checkout.
pub const COMMIT: Option<&str> = option_env!("TENSORGUARD_COMMIT");

/// Behind a commit that files differed from.
const CHANGES: &str = "+changes";

/// The version and the commit, in words.
pub const VERSION: &str = env!("TENSORGUARD_VERSION");

/// The commit that this program was built from.
#[must_use]
pub fn from() -> Option<Git> {
    COMMIT.map(parse)
}

fn parse(said: &str) -> Git {
    let commit = said.strip_suffix(CHANGES);
    Git { commit: commit.unwrap_or(said).to_owned(), is_dirty: commit.is_some() }
}

/// Whether a program was built from what is checked out, and nothing else.
///
/// # Errors
/// Why not, in words.
pub fn agree(program: Option<&Git>, checkout: &Git) -> Result<(), String> {
    let Some(Git { commit, is_dirty }) = program else {
        return Err("this program was built outside of a checkout, so nobody knows from what".to_owned());
    };
    if *is_dirty {
        return Err(format!("this program was built from commit {commit} with changes"));
    }
    if *commit != checkout.commit {
        return Err(format!("this program was built from commit {commit}, and the checkout is at {}", checkout.commit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_agrees_with_the_very_commit_it_was_built_from() {
        let checkout = parse("ab12");
        assert_eq!(agree(Some(&parse("ab12")), &checkout), Ok(()));
        let why = |program: Option<&str>| agree(program.map(parse).as_ref(), &checkout).expect_err("they differ");
        assert!(why(None).contains("outside of a checkout"));
        assert!(why(Some("ab12+changes")).contains("with changes"));
        assert!(why(Some("cd34")).contains("cd34") && why(Some("cd34")).contains("ab12"));
    }

    #[test]
    fn the_build_looked_at_this_very_checkout() {
        let head = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output();
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../.git").exists();
        match head {
            Ok(head) if head.status.success() && here => {
                let head = String::from_utf8_lossy(&head.stdout).trim().to_owned();
                assert_eq!(from().map(|git| git.commit), Some(head));
            }
            _ => eprintln!("ignored: this is no checkout, or git is absent"),
        }
    }
}
