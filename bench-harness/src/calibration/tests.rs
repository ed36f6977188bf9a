use super::*;
use crate::scratch::Scratch;
use kernels::reference::Reference;
use kernels::{Direction, Modulus, Plan};

fn point(words: usize, cpu_ns: u64, device_ns: u64) -> Point {
    Point { words, cpu_ns, device_ns, kernel_ns: Some(20), bytes: 4000 }
}

fn measured(device: &str, job: &str, points: Vec<Point>) -> Measured {
    let crossovers = vec![Crossover { job: job.to_owned(), from_words: None, points }];
    Measured { device: device.to_owned(), copy_mb_s: Some(400_000), crossovers }
}

fn sample() -> Calibration {
    let text = |text: &str| text.to_owned();
    let fingerprint = Fingerprint {
        version: text("1"),
        program: text("2 bytes of 3"),
        machine: text("box-2c"),
        cpu: text("cpu-avx2, 2 threads"),
        devices: vec![text("a device")],
    };
    let points = vec![point(256, 5, 50), point(512, 50, 40), point(1024, 500, 60)];
    let mut rungs = vec![measured("a device", "ntt", points)];
    settle(&mut rungs);
    Calibration { fingerprint, rungs }
}

#[test]
fn a_device_is_taken_from_where_it_stays_faster() {
    let alone = |times: &[(u64, u64)]| {
        let points: Vec<Point> = times.iter().map(|&(cpu, device)| point(cpu as usize, cpu, device)).collect();
        from_words(&points, |_| u64::MAX)
    };
    assert_eq!(alone(&[(1, 2), (2, 1), (3, 4), (4, 3), (5, 4)]), Some(4));
    assert_eq!(alone(&[(1, 0), (2, 3)]), None);
    assert_eq!(alone(&[]), None);
    let calibration = sample();
    assert_eq!(calibration.rungs[0].from_words(JobKind::Ntt), 512);
    assert_eq!(calibration.rungs[0].from_words(JobKind::Sum), usize::MAX);
}

#[test]
fn of_two_devices_each_is_asked_where_it_is_the_fastest() {
    // The second is faster in the middle, and cannot do the largest.
    let first = measured("first", "sum", vec![point(1, 5, 9), point(2, 50, 40), point(3, 500, 60), point(4, 600, 70)]);
    let second = measured("second", "sum", vec![point(1, 5, 8), point(2, 50, 30), point(3, 500, 61)]);
    let mut rungs = [first, second];
    settle(&mut rungs);
    assert_eq!(rungs.map(|rung| rung.from_words(JobKind::Sum)), [3, 2]);
}

#[test]
fn a_ladder_sends_small_jobs_to_the_processor_and_large_ones_to_the_device() {
    let device = Engine::Device(Box::new(Reference), "a device".to_owned());
    let ladder = sample().ladder(vec![device], Cpu::best(1));
    let plan = Plan::new(Modulus::P1, 256).expect("a plan");
    for (words, served) in [(256, [0, 1]), (512, [1, 1]), (1024, [2, 1])] {
        ladder.ntt(&plan, Direction::Forward, &mut vec![7; words]).expect("both engines work");
        let jobs: Vec<u64> = ladder.served().iter().map(|rung| rung.jobs).collect();
        assert_eq!(jobs, served, "{words} words");
    }
}

#[test]
fn what_is_printed_says_from_where_on_and_how_near_to_a_copy() {
    let text = sample().to_string();
    for wanted in ["a device", "from 512 words on", "256 10.00, 512 0.80, 1024 0.12", "400000 MB/s", "50.0 %"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn an_edited_or_stale_file_is_not_believed() {
    let folder = Scratch::new("calibration");
    let path = folder.join("deeper/calibration.json");
    let calibration = sample();
    let now = calibration.fingerprint.clone();
    assert_eq!(remembered(&path, &now), Remembered::Absent);
    remember(&path, &calibration).unwrap();
    assert_eq!(remembered(&path, &now), Remembered::Known(calibration.clone()));
    let others = [
        Fingerprint { version: "other".into(), ..now.clone() },
        Fingerprint { program: "other".into(), ..now.clone() },
        Fingerprint { machine: "other".into(), ..now.clone() },
        Fingerprint { cpu: "other".into(), ..now.clone() },
        Fingerprint { devices: vec!["other".into()], ..now.clone() },
        Fingerprint { devices: vec!["a device".into(), "other".into()], ..now.clone() },
    ];
    for other in others {
        assert!(matches!(remembered(&path, &other), Remembered::Stale(why) if why.contains("other")), "{other:?}");
    }
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [("\"from_words\": 512", "\"from_words\": 1"), ("a device", "b device"), ("}", "")] {
        assert!(text.contains(from));
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(matches!(remembered(&path, &now), Remembered::Edited(_)), "{from} to {to}");
    }
}
