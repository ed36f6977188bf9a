//! Disks that fill up, and disks that die.

use crate::parties::*;
use fleet_client::News;
use fleet_server::{Disk, Folder, Writer};
use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// What happens to a write, before it reaches the real disk.
pub(crate) trait Fate: Debug + Send + Sync {
    /// How many of these bytes are written; less than all of them is an error.
    fn write(&self, name: &str, bytes: &[u8]) -> usize;
    /// Whether this sync, or another operation, comes back.
    fn sync(&self, name: &str) -> io::Result<()>;
    fn other(&self) -> io::Result<()>;
}

#[derive(Debug)]
pub(crate) struct Fated<F> {
    inner: Folder,
    fate: Arc<F>,
}

impl<F: Fate + 'static> Fated<F> {
    pub(crate) fn disk(inner: Folder, fate: Arc<F>) -> Arc<dyn Disk> {
        Arc::new(Self { inner, fate })
    }
}

struct FatedWriter<F> {
    inner: Box<dyn Writer>,
    name: String,
    fate: Arc<F>,
}

impl<F: Fate> Write for FatedWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.fate.write(&self.name, bytes);
        self.inner.write_all(&bytes[..len])?;
        if len < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(len) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<F: Fate> Writer for FatedWriter<F> {
    fn sync(&mut self) -> io::Result<()> {
        self.fate.other()?;
        self.inner.sync()?;
        self.fate.sync(&self.name)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.fate.other()?;
        self.inner.cut(len)
    }
}

impl<F: Fate + 'static> Disk for Fated<F> {
    fn write_at(&self, name: &str, len: u64) -> io::Result<Box<dyn Writer>> {
        self.fate.other()?;
        let inner = self.inner.write_at(name, len)?;
        Ok(Box::new(FatedWriter { inner, name: name.to_owned(), fate: self.fate.clone() }))
    }

    fn read(&self, name: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        self.inner.read(name)
    }

    fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        self.fate.other()?;
        self.inner.rename(name, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.fate.other()?;
        self.inner.remove(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }
}

/// Room for so many bytes.
#[derive(Debug)]
struct Quota(AtomicI64);

impl Fate for Quota {
    fn write(&self, _name: &str, bytes: &[u8]) -> usize {
        let len = bytes.len() as i64;
        let left = self.0.fetch_sub(len, Ordering::SeqCst);
        left.clamp(0, len) as usize
    }

    fn sync(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn other(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_nothing_and_the_round_goes_on_when_there_is_room() {
    let (robots, length) = (3u8, 80_000);
    let fleet = Fleet::new("full", robots, length);
    // Less than the journal and the uploads need.
    let quota = Arc::new(Quota(AtomicI64::new(250_000)));
    let disk = Fated::disk(Folder::open(&fleet.path("server/state")).unwrap(), quota.clone());
    let server = serve(&fleet, disk);
    let (mut arms, mut full) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let everybody = scope.spawn(|| run_everybody(&fleet, server.address, 0..robots));
        let begin = Instant::now();
        while quota.0.load(Ordering::SeqCst) > 0 {
            assert!(begin.elapsed() < PATIENCE, "the disk never fills");
            std::thread::sleep(Duration::from_millis(10));
        }
        // Robots try again meanwhile.
        std::thread::sleep(Duration::from_millis(600));
        full.push(server.desk.told());
        quota.0.store(i64::MAX / 2, Ordering::SeqCst);
        arms = everybody.join().unwrap();
    });
    assert!(full[0].contains("of 3 uploads"), "{full:?}");
    check_mean(&arms, robots, length);
    let first = arms[0].packages[0].clone();
    assert!(arms.iter().all(|arm| arm.packages == [first.clone()]));
}

#[test]
fn a_disk_that_is_full_from_the_start_lets_no_server_begin() {
    let fleet = Fleet::new("none", 1, 1000);
    let quota = Arc::new(Quota(AtomicI64::new(10)));
    let disk = Fated::disk(Folder::open(&fleet.path("server/state")).unwrap(), quota);
    let error = open_desk(&fleet, disk).unwrap_err();
    assert!(error.to_string().contains("journal cannot be opened"), "{error}");
}

/// What cannot be kept is not sent: a crash would lose it. When there is room, the same update is encrypted under a new key.
#[test]
fn a_robot_whose_disk_is_full_sends_nothing_and_takes_part_when_there_is_room() {
    let (robots, length) = (2u8, 1000);
    let fleet = Fleet::new("robot-full", robots, length);
    let server = serve(&fleet, fleet.disk());
    // No file can be made where a folder is.
    let in_the_way = fleet.path("robot-0").join("upload.fresh");
    std::fs::create_dir(&in_the_way).unwrap();
    let watch = |refused: &mut u32, news: &News| match news {
        News::Note(why) if why.contains("cannot be kept") => {
            assert!(!server.desk.told().contains("2 of 2 uploads"), "{}", server.desk.told());
            *refused += 1;
            if *refused == 3 {
                std::fs::remove_dir(&in_the_way).unwrap();
            }
        }
        News::Uploaded { .. } => assert!(*refused >= 3, "sent before it was kept"),
        _ => {}
    };
    let (arms, refused) = std::thread::scope(|scope| {
        let full = scope.spawn(|| {
            let (mut arm, mut refused, mut is_done) = (Arm::new(0), 0, until_applied());
            run_robot(&fleet, server.address, &mut arm, &mut |news| {
                watch(&mut refused, &news);
                is_done(news)
            });
            (arm, refused)
        });
        let mut arms = run_everybody(&fleet, server.address, 1..robots);
        let (arm, refused) = full.join().unwrap();
        arms.push(arm);
        (arms, refused)
    });
    check_mean(&arms, robots, length);
    assert_eq!(refused, 3);
}
