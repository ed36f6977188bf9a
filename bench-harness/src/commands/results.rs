//! `tensorguard results`.

use super::options::print;
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::record::{self, index};
use tensorguard::whole_file::Target;

const EXAMPLES: &str = "\
Examples:
  tensorguard results index                                 write results/INDEX.md anew
  tensorguard results schema > results/result.schema.json   the JSON Schema of result.json";

/// The folder of recorded measurements: its index, and the schema of a record.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Results {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Writes INDEX.md from the entries.
    Index {
        /// The folder of entries.
        #[arg(default_value = "results")]
        folder: PathBuf,
    },
    /// Prints the JSON Schema of result.json.
    Schema,
}

impl Results {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.what {
            What::Index { folder } => {
                let text = index::index(folder)?;
                let path = folder.join(index::INDEX);
                Target::new(&path, &[])?.write(|file| file.write_all(text.as_bytes()))?;
                eprintln!("wrote {}", path.display());
                Ok(())
            }
            What::Schema => print(&record::schema()),
        }
    }
}
