//! The matrix: how many robots, how large an update, over which link, learning how.

use super::pipeline::Profile;
use crate::failure::Failure;
use crate::filter::{Filter, Properties, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use workload::{Size, Task};

/// Robots of a cell.
pub const CLIENTS: [u32; 6] = [2, 5, 10, 20, 50, 100];

/// A robot's link to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// What it carries, either way, in 10^6 bits per second.
    pub mbit_per_s: u32,
    /// There and back.
    pub rtt_ms: u32,
}

/// The links of the matrix: a mobile network, an office, a wire.
pub const LINKS: [Link; 3] =
    [Link { mbit_per_s: 10, rtt_ms: 50 }, Link { mbit_per_s: 100, rtt_ms: 20 }, Link { mbit_per_s: 1000, rtt_ms: 5 }];

/// Fewer robots than this, and the key holder's default policy refuses to open their sum.
pub const DEFAULT_MIN_CLIENTS: u32 = 16;

/// One cell. Plaintext and encrypted stand side by side in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// How the robots learn.
    #[schemars(with = "String")]
    pub task: Task,
    /// How many there are.
    pub clients: u32,
    /// How large an update is.
    #[schemars(with = "String")]
    pub size: Size,
    /// Over what.
    pub link: Link,
    /// How values travel, where a run has several; else it is in its budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub profile: Option<Profile>,
}

impl Cell {
    /// The least number of robots that the key holder opens a sum for. Below the default it is lowered, visibly: a cell of
    /// two robots hides little.
    #[must_use]
    pub fn min_clients(&self) -> u32 {
        self.clients.min(DEFAULT_MIN_CLIENTS)
    }

    /// What it shares with the cells that differ from it by their link alone.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let Self { task, clients, size, profile, .. } = *self;
        Fleet { task, clients, size, profile }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}mbit", self.fleet(), self.link.mbit_per_s)
    }
}

/// What is learned and encrypted does not depend on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    /// How the robots learn.
    #[schemars(with = "String")]
    pub task: Task,
    /// How many there are.
    pub clients: u32,
    /// How large an update is.
    #[schemars(with = "String")]
    pub size: Size,
    /// How values travel, where a run has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub profile: Option<Profile>,
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}x{}", self.task.name(), self.clients, self.size.name())?;
        self.profile.map_or(Ok(()), |profile| write!(f, "-{}", profile.name()))
    }
}

/// Bytes of an update as 32-bit floats.
#[must_use]
pub fn bytes(size: Size) -> u64 {
    match size {
        Size::Kb10 => 10_000,
        Size::Kb100 => 100_000,
        Size::Mb1 => 1_000_000,
        Size::Mb10 => 10_000_000,
    }
}

impl Properties for Cell {
    const KEYS: &'static [&'static str] = &["task", "clients", "size", "net", "rtt", "profile"];

    fn value(&self, key: &str) -> Option<Value> {
        Some(match key {
            "task" => Value::Word(self.task.name()),
            "clients" => Value::Number(self.clients.into()),
            "size" => Value::Number(bytes(self.size) as f64),
            "net" => Value::Number(f64::from(self.link.mbit_per_s) * 1e6),
            "rtt" => Value::Number(self.link.rtt_ms.into()),
            "profile" => Value::Word(self.profile?.name()),
            _ => return None,
        })
    }
}

/// How much to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A first look: under a minute.
    Smoke,
    /// Both ways of learning, small and middling updates: under five minutes.
    Quick,
    /// What a published figure needs, within half an hour.
    Standard,
    /// Every cell.
    Full,
}

impl Preset {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Full => "full",
        }
    }

    /// Independent replicates behind each cell.
    #[must_use]
    pub fn campaigns(self) -> u32 {
        match self {
            Self::Smoke => 2,
            Self::Quick => 3,
            Self::Standard => 5,
            Self::Full => 10,
        }
    }

    /// How often a cell goes end to end.
    #[must_use]
    pub fn whole_runs(self) -> u32 {
        match self {
            Self::Smoke | Self::Quick => 1,
            // One takes half a second, so one bad second of the machine must not be the middle of them.
            Self::Standard | Self::Full => 9,
        }
    }

    /// Whether a composed total that is not confirmed end to end is refused.
    #[must_use]
    pub fn refuses(self) -> bool {
        matches!(self, Self::Standard | Self::Full)
    }

    fn holds(self, cell: &Cell) -> bool {
        let Cell { task, clients, size, .. } = *cell;
        let imitation = task == Task::Imitation;
        match self {
            Self::Smoke => imitation && size == Size::Kb10 && [10, 20, 100].contains(&clients),
            Self::Quick => match size {
                Size::Kb10 => imitation || clients <= 20,
                Size::Kb100 => imitation && clients <= 20,
                _ => false,
            },
            Self::Standard => match size {
                Size::Kb10 => true,
                Size::Kb100 => imitation,
                Size::Mb1 => imitation && [20, 100].contains(&clients),
                Size::Mb10 => imitation && [2, 100].contains(&clients),
            },
            Self::Full => true,
        }
    }

    /// The cells of this preset that the filter admits, with values that travel in each of these ways; those of one fleet together. They
    /// are named by how values travel where there are several ways.
    ///
    /// # Errors
    /// [`Failure::Nothing`] where there are none, [`Failure::Usage`] for a filter that compares a word with a number.
    pub fn cells(self, filter: &Filter, profiles: &[Profile]) -> Result<Vec<Cell>, Failure> {
        let ways: Vec<(Task, Size, Profile)> = [Task::Imitation, Task::Reinforcement]
            .into_iter()
            .flat_map(|task| Size::ALL.map(|size| (task, size)))
            .flat_map(|(task, size)| profiles.iter().map(move |&profile| (task, size, profile)))
            .collect();
        let mut cells = Vec::new();
        for (task, size, profile) in ways {
            for clients in CLIENTS {
                for link in LINKS {
                    let cell = Cell { task, clients, size, link, profile: Some(profile) };
                    if self.holds(&cell) && filter.admits(&cell)? {
                        cells.push(Cell { profile: cell.profile.filter(|_| profiles.len() > 1), ..cell });
                    }
                }
            }
        }
        if cells.is_empty() {
            let why = "no cell of this preset passes the filter; `tensorguard plan --preset full` lists all cells of a --profile";
            return Err(Failure::Nothing(why.to_owned()));
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(preset: Preset, filter: &str) -> Result<Vec<Cell>, Failure> {
        preset.cells(&Filter::parse::<Cell>(filter)?, &[Profile::Bits8])
    }

    #[test]
    fn the_full_matrix_has_every_combination_once() {
        let all = cells(Preset::Full, "").expect("cells");
        assert_eq!(all.len(), 2 * 4 * 6 * 3);
        let names: std::collections::BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(all[0].to_string(), "imitation-2x10kb-10mbit");
    }

    #[test]
    fn presets_grow_and_filters_select() {
        let count = |preset, filter| cells(preset, filter).map(|cells| cells.len());
        let sizes = [Preset::Smoke, Preset::Quick, Preset::Standard, Preset::Full].map(|p| count(p, "").unwrap_or(0));
        assert!(sizes.is_sorted() && sizes[0] > 0, "{sizes:?}");
        assert_eq!(count(Preset::Full, "clients>=20 && net==10mbit && size==1mb"), Ok(3 * 2));
        assert_eq!(count(Preset::Full, "clients>100").map_err(|failure| failure.code()), Err(4));
    }

    #[test]
    fn cells_are_named_by_how_values_travel_only_where_there_are_several_ways() {
        let named = |filter: &str, profiles: &[Profile]| {
            let filter = Filter::parse::<Cell>(filter).expect("a filter");
            let cells = Preset::Smoke.cells(&filter, profiles);
            cells
                .map(|cells| cells.iter().map(ToString::to_string).collect::<Vec<_>>())
                .map_err(|failure| failure.code())
        };
        let one = "clients==10 && net==100mbit";
        assert_eq!(named(one, &[Profile::Bits4]), Ok(vec!["imitation-10x10kb-100mbit".to_owned()]));
        let both = [Profile::Bits8, Profile::Bits4];
        let [eight, four] = ["imitation-10x10kb-8bit-100mbit", "imitation-10x10kb-4bit-100mbit"].map(str::to_owned);
        assert_eq!(named(one, &both), Ok(vec![eight, four.clone()]));
        assert_eq!(named(&format!("{one} && profile==4bit"), &both), Ok(vec![four]));
        assert_eq!(named("profile!=8bit", &[Profile::Bits8]), Err(4));
        assert_eq!(named("profile>=8bit", &both), Err(2));
    }

    #[test]
    fn small_fleets_lower_the_least_number_visibly() {
        let cell = |clients| Cell { task: Task::Imitation, clients, size: Size::Kb10, link: LINKS[0], profile: None };
        assert_eq!([2, 15, 16, 100].map(|clients| cell(clients).min_clients()), [2, 15, 16, 16]);
    }
}
