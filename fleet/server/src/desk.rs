//! The state of a server: the machine, its journal, its files, and the one order in which they change.

use crate::adding::{Adding, read};
use crate::disk::{Disk, PACKAGES, UPLOADS, Writer};
use crate::journal::Journal;
use kernels::Backend;
use protocol::folding::lwe::{CHUNK_LEN, Ciphertext, RobotId, merkle_leaf, root_of_leaves};
use protocol::{Event, Id, Intake, Millis, NotTheChunk, Peer, Plan, Refused, Reply, Request, Rounds};
use std::fmt;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Why a server does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server does not start: {}", self.0)
    }
}

impl std::error::Error for StartError {}

/// A server's state. All of its methods may block on the disk.
pub struct Desk {
    book: Mutex<Book>,
    adding: Mutex<Adding>,
    /// Held by whoever has an upload in memory to look at it: one at a time, however many robots end theirs together.
    looking: Mutex<()>,
    disk: Arc<dyn Disk>,
    backend: Box<dyn Backend>,
    clock: Box<dyn Fn() -> Millis + Send + Sync>,
    changes: watch::Sender<u64>,
}

struct Book {
    rounds: Rounds,
    journal: Journal,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({})", self.told())
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is changed before it is durable, so what a panic left behind is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Begins, or goes on where the journal ends.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and how to mend it.
    pub fn open(
        disk: Arc<dyn Disk>,
        plan: Plan,
        backend: Box<dyn Backend>,
        clock: Box<dyn Fn() -> Millis + Send + Sync>,
    ) -> Result<Self, StartError> {
        let mut rounds = Rounds::new(plan).map_err(|error| StartError(error.to_string()))?;
        let (journal, events) = Journal::open(disk.as_ref()).map_err(StartError)?;
        for (index, event) in events.iter().enumerate() {
            let not_ours = |why| StartError(format!("event {index} of the journal does not fit: {why}"));
            rounds.apply(event).map_err(not_ours)?;
        }
        for (root, stored, intake) in rounds.uploads() {
            match intake {
                Some(intake) => resume(disk.as_ref(), root, intake)?,
                None if stored => check_whole(disk.as_ref(), root)?,
                None => {}
            }
        }
        let book = Mutex::new(Book { rounds, journal });
        let (adding, looking) = (Mutex::default(), Mutex::default());
        let desk = Self { book, adding, looking, disk, backend, clock, changes: watch::Sender::new(0) };
        desk.sweep().map_err(|error| StartError(error.to_string()))?;
        desk.tick().map_err(|refused| StartError(refused.to_string()))?;
        Ok(desk)
    }

    /// Whoever waits here is told of every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// One line for whoever watches.
    #[must_use]
    pub fn told(&self) -> String {
        hold(&self.book).rounds.told()
    }

    /// Whether all rounds are over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        hold(&self.book).rounds.is_over()
    }

    /// A hash of the state: see [`Rounds::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> Id {
        hold(&self.book).rounds.fingerprint()
    }

    /// Decides, makes durable, applies, answers.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn ask(&self, peer: Peer, request: &Request) -> Result<Reply, Refused> {
        let mut book = hold(&self.book);
        let (events, reply) = book.rounds.decide(peer, request)?;
        self.enter(&mut book, &events)?;
        Ok(reply)
    }

    /// Does what time alone asks for.
    ///
    /// # Errors
    /// [`Refused::NotKept`].
    pub fn tick(&self) -> Result<(), Refused> {
        let mut book = hold(&self.book);
        self.enter(&mut book, &[])
    }

    fn enter(&self, book: &mut Book, events: &[Event]) -> Result<(), Refused> {
        write(book, events)?;
        let mut changed = !events.is_empty();
        if events.iter().any(|event| matches!(event, Event::Ended { .. } | Event::Settled { .. })) {
            self.condense(book);
            hold(&self.adding).forget();
            // A file that could not be removed is removed at the next start.
            let _ = self.sweep_for(&mut book.rounds);
        }
        loop {
            let due = book.rounds.tick((self.clock)());
            if due.is_empty() {
                break;
            }
            // What was asked is done; this is tried again with the next tick.
            if write(book, &due).is_err() {
                break;
            }
            changed = true;
        }
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Between rounds everything fits in one event. If that fails, the journal is only longer than it need be.
    fn condense(&self, book: &mut Book) {
        if let Some(event) = book.rounds.condensed() {
            let _ = book.journal.condense(self.disk.as_ref(), event);
        }
    }

    /// Goes on with an upload: its file, and where it stands.
    pub(crate) fn begin(self: &Arc<Self>, robot: RobotId, from: u64) -> Result<Receiving, Refused> {
        let (root, intake) = hold(&self.book).rounds.take_intake(robot, from)?;
        let opened = self.disk.write_at(&format!("{UPLOADS}/{root}"), intake.verified_len());
        // Given back by its drop, if the file cannot be opened.
        let mut receiving = Receiving { desk: self.clone(), robot, root, intake: Some(intake), file: None };
        receiving.file = Some(opened.map_err(Refused::not_kept)?);
        Ok(receiving)
    }

    fn finish(&self, robot: RobotId, root: Id) -> Result<Reply, Refused> {
        let set = hold(&self.book).rounds.summing().ok_or(Refused::Late)?;
        let head = hold(&self.book).rounds.head_of(robot).ok_or(Refused::OtherRound)?;
        let looking = hold(&self.looking);
        let upload = read(&set, root, &head, self.disk.as_ref()).map_err(Refused::not_kept)?;
        Ciphertext::read(set.round.agreement(), &upload).map_err(Refused::malformed)?;
        drop(upload);
        drop(looking);
        let mut book = hold(&self.book);
        let event = book.rounds.stored(robot, root)?;
        self.enter(&mut book, &[event])?;
        let set = book.rounds.summing();
        drop(book);
        // Added while others still upload. What fails here is tried again when the sum is asked for.
        if let Some(set) = set {
            let _ = hold(&self.adding).follow(&set, self.disk.as_ref(), self.backend.as_ref());
        }
        Ok(Reply::Stored)
    }

    /// The sum of the question with this revision.
    pub(crate) fn sum(&self, peer: Peer, revision: u32) -> Result<Vec<u8>, Refused> {
        if peer != Peer::Holder {
            return Err(Refused::NotYours);
        }
        let set = hold(&self.book).rounds.asked(revision).ok_or(Refused::OtherRound)?;
        let mut adding = hold(&self.adding);
        let sum = adding.follow(&set, self.disk.as_ref(), self.backend.as_ref()).map_err(Refused::not_kept)?;
        Ok(sum.to_bytes())
    }

    pub(crate) fn begin_package(&self, peer: Peer, package: Id, len: u64) -> Result<Box<dyn Writer>, Refused> {
        hold(&self.book).rounds.may_publish(peer, len)?;
        self.disk.write_at(&part(package), 0).map_err(Refused::not_kept)
    }

    pub(crate) fn finish_package(&self, mut file: Box<dyn Writer>, package: Id, len: u64) -> Result<Reply, Refused> {
        let kept = file.sync().and_then(|()| self.disk.rename(&part(package), &whole(package)));
        kept.map_err(Refused::not_kept)?;
        let mut book = hold(&self.book);
        book.rounds.may_publish(Peer::Holder, len)?;
        self.enter(&mut book, &[Event::Published { package, len }])?;
        Ok(Reply::Noted)
    }

    pub(crate) fn package(&self, peer: Peer, package: Id) -> Result<(Box<dyn Read + Send>, u64), Refused> {
        let len = hold(&self.book).rounds.may_fetch(peer, package)?;
        let file = self.disk.read(&whole(package)).map_err(Refused::not_kept)?;
        Ok((file.ok_or(Refused::NoPackage)?, len))
    }

    fn sweep(&self) -> io::Result<()> {
        self.sweep_for(&mut hold(&self.book).rounds)
    }

    /// Removes files that nothing names any more.
    fn sweep_for(&self, rounds: &mut Rounds) -> io::Result<()> {
        let uploads: Vec<String> = rounds.uploads().map(|(root, ..)| root.to_string()).collect();
        let packages: Vec<String> = rounds.packages().map(|package| package.to_string()).collect();
        for (folder, named) in [(UPLOADS, uploads), (PACKAGES, packages)] {
            for name in self.disk.list(folder)?.into_iter().filter(|name| !named.contains(name)) {
                self.disk.remove(&format!("{folder}/{name}"))?;
            }
        }
        Ok(())
    }
}

fn part(package: Id) -> String {
    format!("{PACKAGES}/{package}.part")
}

fn whole(package: Id) -> String {
    format!("{PACKAGES}/{package}")
}

fn write(book: &mut Book, events: &[Event]) -> Result<(), Refused> {
    if events.is_empty() {
        return Ok(());
    }
    book.journal.append(events).map_err(Refused::not_kept)?;
    for event in events {
        book.rounds.apply(event).expect("it was decided on this very state");
    }
    Ok(())
}

/// Reads a file in chunks, until it ends or `each` has seen enough.
fn in_chunks(disk: &dyn Disk, root: Id, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), StartError> {
    let failed = |error: io::Error| StartError(format!("upload {root}: {error}"));
    let Some(mut file) = disk.read(&format!("{UPLOADS}/{root}")).map_err(failed)? else { return Ok(()) };
    let mut chunk = Vec::with_capacity(CHUNK_LEN);
    loop {
        chunk.clear();
        file.as_mut().take(CHUNK_LEN as u64).read_to_end(&mut chunk).map_err(failed)?;
        if chunk.is_empty() || each(&chunk).is_break() {
            return Ok(());
        }
    }
}

/// What was acknowledged as stored must be there.
fn check_whole(disk: &dyn Disk, root: Id) -> Result<(), StartError> {
    let mut leaves = Vec::new();
    in_chunks(disk, root, &mut |chunk| {
        leaves.push(merkle_leaf(chunk));
        ControlFlow::Continue(())
    })?;
    if root_of_leaves(leaves) == root.0 {
        return Ok(());
    }
    Err(StartError(format!(
        "upload {root} was stored and is gone or damaged: put the file back into the folder {UPLOADS}, or move the journal away to begin the fleet's rounds anew under another name"
    )))
}

/// Finds out how much of an upload is there, chunk by chunk.
fn resume(disk: &dyn Disk, root: Id, intake: &mut Intake) -> Result<(), StartError> {
    in_chunks(disk, root, &mut |chunk| {
        // Where the file ends, or is not what was announced, the robot goes on.
        match intake.push(chunk, &mut |_| Ok::<(), NotTheChunk>(())) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    intake.cut();
    Ok(())
}

/// An upload that is being received. Dropped, it gives back where it stands.
pub(crate) struct Receiving {
    desk: Arc<Desk>,
    robot: RobotId,
    root: Id,
    intake: Option<Intake>,
    file: Option<Box<dyn Writer>>,
}

/// Why a chunk was not kept.
enum NotKept {
    Wrong(NotTheChunk),
    Disk(io::Error),
}

impl From<NotTheChunk> for NotKept {
    fn from(error: NotTheChunk) -> Self {
        Self::Wrong(error)
    }
}

impl Receiving {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let (Some(intake), Some(file)) = (&mut self.intake, &mut self.file) else { return Err(Refused::Busy) };
        let pushed = intake.push(bytes, &mut |chunk| file.write_all(chunk).map_err(NotKept::Disk));
        pushed.map_err(|error| match error {
            NotKept::Wrong(error) => Refused::malformed(error),
            NotKept::Disk(error) => Refused::not_kept(error),
        })
    }

    /// After the last byte: synced, looked at, and part of the set.
    pub(crate) fn finish(mut self) -> Result<Reply, Refused> {
        let (Some(intake), Some(mut file)) = (&self.intake, self.file.take()) else { return Err(Refused::Busy) };
        file.sync().map_err(Refused::not_kept)?;
        if !intake.is_whole() {
            return Ok(Reply::SendFrom(intake.verified()));
        }
        self.desk.finish(self.robot, self.root)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(intake) = self.intake.take() {
            hold(&self.desk.book).rounds.give_back(self.robot, self.root, intake);
        }
    }
}
