//! The write-ahead journal: events in one file that only grows, until it is condensed between rounds.

use crate::disk::{Disk, Writer};
use protocol::{Chain, Event, Front, decode, encode, front, record};
use std::io::{self, Read};

const NAME: &str = "journal";
const FRESH: &str = "journal.fresh";
const VERSION: &[u8] = b"TensorGuard fleet journal 1\n";

pub(crate) struct Journal {
    file: Box<dyn Writer>,
    chain: Chain,
    len: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Sound,
    /// An append failed and could not be taken back: what the file holds is known when it is opened again.
    Unknown,
}

impl Journal {
    /// Opens the journal, or begins one; and all its events. What a crash cut short is removed: nobody was told of it.
    pub(crate) fn open(disk: &dyn Disk) -> Result<(Self, Vec<Event>), String> {
        let failed = |error: io::Error| format!("the journal cannot be opened: {error}");
        let mut bytes = Vec::new();
        if let Some(mut file) = disk.read(NAME).map_err(failed)? {
            file.read_to_end(&mut bytes).map_err(failed)?;
        }
        if bytes.len() < VERSION.len() && VERSION.starts_with(&bytes) {
            let journal = Self::begin(disk, NAME, &[]).map_err(failed)?;
            return Ok((journal, vec![]));
        }
        if !bytes.starts_with(VERSION) {
            return Err("the journal is of another version: finish its rounds with the version that began it".into());
        }
        let (mut events, mut chain, mut at) = (Vec::new(), Chain::new(VERSION), VERSION.len());
        loop {
            match front(&bytes[at..], &chain) {
                Front::End | Front::Torn => break,
                Front::Record { payload, len, chain: after } => {
                    events.push(
                        decode(payload).map_err(|error| format!("event {} of the journal: {error}", events.len()))?,
                    );
                    (chain, at) = (after, at + len);
                }
                Front::Damaged => {
                    return Err(format!(
                        "the journal is damaged at byte {at}, event {}: restore the newest whole copy; without one, start with a new folder and a new fleet's name, so that no attempt is asked for twice",
                        events.len()
                    ));
                }
            }
        }
        let mut file = disk.write_at(NAME, at as u64).map_err(failed)?;
        file.sync().map_err(failed)?;
        Ok((Self { file, chain, len: at as u64, state: State::Sound }, events))
    }

    fn begin(disk: &dyn Disk, name: &str, events: &[Event]) -> io::Result<Self> {
        let mut file = disk.write_at(name, 0)?;
        file.write_all(VERSION)?;
        file.sync()?;
        let mut journal = Self { file, chain: Chain::new(VERSION), len: VERSION.len() as u64, state: State::Sound };
        journal.append(events)?;
        Ok(journal)
    }

    /// Makes events durable, all or none.
    pub(crate) fn append(&mut self, events: &[Event]) -> io::Result<()> {
        if self.state == State::Unknown {
            return Err(io::Error::other("the journal could not be written before: mend the disk and start again"));
        }
        let (mut bytes, mut chain) = (Vec::new(), self.chain);
        for event in events {
            let (record, after) =
                record(&chain, &encode(event)).ok_or_else(|| io::Error::other("an event of 4 GiB"))?;
            bytes.extend_from_slice(&record);
            chain = after;
        }
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync()) {
            let taken_back = self.file.cut(self.len).and_then(|()| self.file.sync());
            self.state = if taken_back.is_ok() { State::Sound } else { State::Unknown };
            return Err(error);
        }
        (self.chain, self.len) = (chain, self.len + bytes.len() as u64);
        Ok(())
    }

    /// Begins anew with one event that says everything.
    pub(crate) fn condense(&mut self, disk: &dyn Disk, event: Event) -> io::Result<()> {
        let fresh = Self::begin(disk, FRESH, &[event])?;
        disk.rename(FRESH, NAME)?;
        *self = fresh;
        Ok(())
    }
}
