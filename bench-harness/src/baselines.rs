//! Which recorded measurement new ones are held against: promoted by hand, one for each machine, command, configuration
//! and corpus.

use crate::failure::Failure;
use crate::record::Record;
use crate::record::journal::{RESULT, read_limited};
use crate::record::verify::verify;
use crate::whole_file::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file's name in the results folder.
pub const FILE: &str = "baselines.json";

/// The baselines of a results folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baselines(BTreeMap<String, String>);

/// What must be equal for two records to be held against each other.
#[must_use]
pub fn key(record: &Record) -> String {
    let short = |hash: &str| hash.chars().take(12).collect::<String>();
    let corpus = record.header.corpus_sha256.as_deref().map_or("none".to_owned(), short);
    let (machine, engine) = (record.environment.machine.label(), &record.environment.engine);
    let config = short(&record.header.config_sha256);
    format!("{machine} {engine} {} config {config} corpus {corpus}", record.header.command)
}

/// Reads a record of the present version.
///
/// # Errors
/// [`Failure::Usage`] where there is none.
pub fn read(folder: &Path) -> Result<Record, Failure> {
    let path = folder.join(RESULT);
    let refused = |error| Failure::Usage(format!("{}: no record of this version: {error}", path.display()));
    serde_json::from_slice(&read_limited(&path)?).map_err(refused)
}

impl Baselines {
    /// Those of a results folder; none where nothing was promoted.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the file is damaged.
    pub fn load(results: &Path) -> Result<Self, Failure> {
        let path = results.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let refused = |error| Failure::Usage(format!("{}: {error}; mend it or remove it", path.display()));
        serde_json::from_slice(&read_limited(&path)?).map_err(refused)
    }

    /// Each key and its entry.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, id)| (key.as_str(), id.as_str()))
    }

    /// The folder of the baseline for a record.
    ///
    /// # Errors
    /// [`Failure::Incomparable`] where none was promoted.
    pub fn of(&self, results: &Path, record: &Record) -> Result<PathBuf, Failure> {
        let key = key(record);
        let found = self.0.get(&key).map(|id| results.join(id));
        found.ok_or_else(|| {
            let why = format!("no baseline for {key}; `tensorguard baseline list` shows what there is, and");
            Failure::Incomparable(format!("{why} `tensorguard baseline promote FOLDER` makes one"))
        })
    }

    /// Makes an entry of `results` the baseline for its key. Gives the key and the entry that it replaces.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an entry that is not in `results`, is unfinished, or was measured with local changes;
    /// [`Failure::Wrong`] for one that does not agree with its samples.
    pub fn promote(&mut self, results: &Path, folder: &Path) -> Result<(String, Option<String>), Failure> {
        let shown = folder.display();
        let refused = |why: &str| Failure::Usage(format!("{shown}: {why}"));
        let record = read(folder)?;
        let id = record.header.id.clone();
        let same = |a: &Path, b: &Path| {
            std::fs::canonicalize(a).ok().is_some_and(|a| std::fs::canonicalize(b).is_ok_and(|b| a == b))
        };
        if !same(folder, &results.join(&id)) {
            return Err(refused(&format!("a baseline is an entry of {} under its own id {id}", results.display())));
        }
        if !verify(folder)?.differences.is_empty() {
            return Err(Failure::Wrong(format!("{shown}: the record is not what its samples give")));
        }
        if record.footer.is_none() {
            return Err(refused("it was interrupted; resume it first"));
        }
        if !record.header.is_of_a_commit() {
            return Err(refused("it was not measured from a commit, so nobody could repeat it"));
        }
        let key = key(&record);
        let replaced = self.0.insert(key.clone(), id);
        let text = serde_json::to_string_pretty(self)? + "\n";
        Target::new(&results.join(FILE), &[])?.write(|file| file.write_all(text.as_bytes()))?;
        Ok((key, replaced))
    }
}
