//! Learning curves: how success on robots that never train grows with federated rounds. Trains for real, then writes
//! `curves.csv` and `curves.svg`.
//!
//! ```sh
//! cargo run --release -p tensorguard-workload --example curves                        # 10 KB, three campaigns, written here
//! cargo run --release -p tensorguard-workload --example curves -- FOLDER 3 10kb 100kb # a folder, campaigns, sizes
//! ```

use plotters::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tensorguard_workload::{Base, Cohort, Config, Effort, Learner, Size, Task, apply, mean, pretrain};

const ROBOTS: u32 = 8;
const EFFORT: Effort = Effort { robots: 16, episodes: 20, draw: 0 };
const SEED: u64 = 1;
const TASKS: [Task; 2] = [Task::Imitation, Task::Reinforcement];
const COLUMNS: &str = "task,size,campaign,round,held_out_success,outside_success,held_out_violations,kl_nats,train_cpu_s,\
                       evaluate_cpu_s\n";

/// Success before the first and after each round, on held-out robots and on those outside the distribution.
struct Curve {
    task: Task,
    size: Size,
    success: Vec<[f64; 2]>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let campaigns: u32 = arguments.get(1).map_or(Ok(3), |count| count.parse())?;
    let named = arguments.get(2..).filter(|names| !names.is_empty()).map_or(vec!["10kb".into()], <[String]>::to_vec);
    let (mut csv, mut curves) = (String::from(COLUMNS), Vec::new());
    for size in Size::ALL.into_iter().filter(|size| named.iter().any(|name| name == size.name())) {
        let begin = cpu_s();
        let base = pretrain(&Config::of(Task::Imitation, size, SEED))?;
        eprintln!("{}: base trained in {:.1} s of CPU time", size.name(), cpu_s() - begin);
        for task in TASKS {
            for campaign in 0..campaigns {
                curves.push(train(Config { campaign, ..Config::of(task, size, SEED) }, size, &base, &mut csv)?);
            }
        }
    }
    std::fs::write(folder.join("curves.csv"), csv)?;
    draw(&curves, &folder.join("curves.svg"))?;
    println!("{}", folder.join("curves.svg").display());
    Ok(())
}

/// Trains one campaign and writes a row for version 0 and for each round.
fn train(config: Config, size: Size, base: &Base, csv: &mut String) -> Result<Curve, Box<dyn Error>> {
    let rounds = if config.task == Task::Imitation { 4 } else { 10 };
    let learner = Learner::new(config, base.clone())?;
    let (first, mut success) = (learner.initial_adapter(), Vec::new());
    let (mut adapter, mut train_s) = (first.clone(), 0.0);
    for round in 0..=rounds {
        let begin = cpu_s();
        let held_out = learner.evaluate(Cohort::HeldOut, EFFORT, &adapter)?;
        let outside = learner.evaluate(Cohort::OutOfDistribution, EFFORT, &adapter)?;
        let evaluate_s = cpu_s() - begin;
        let nats = learner.divergence(Cohort::HeldOut, EFFORT, &first, &adapter)?;
        let nats = nats.iter().sum::<f64>() / nats.len() as f64;
        let found = [held_out.success(), outside.success()];
        let (task, size, campaign) = (config.task.name(), size.name(), config.campaign);
        let row = format!("{task},{size},{campaign},{round},{:.4},{:.4}", found[0], found[1]);
        writeln!(csv, "{row},{:.3},{nats:.3},{train_s:.3},{evaluate_s:.3}", held_out.violations())?;
        eprintln!("{row},{train_s:.2}");
        success.push(found);
        if round < rounds {
            let begin = cpu_s();
            let updates = (0..ROBOTS).map(|robot| learner.local_update(robot, &adapter, round));
            let updates = updates.collect::<Result<Vec<_>, _>>()?;
            train_s = cpu_s() - begin;
            apply(&mut adapter, &mean(&updates));
        }
    }
    Ok(Curve { task: config.task, size, success })
}

/// CPU time of this process, all threads together.
fn cpu_s() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// One panel for each task: thick lines for held-out robots, thin ones for those outside the distribution.
fn draw(curves: &[Curve], path: &Path) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (960, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    for (panel, task) in root.split_evenly((1, 2)).iter().zip(TASKS) {
        let ours: Vec<_> = curves.iter().filter(|curve| curve.task == task).collect();
        let rounds = ours.iter().map(|curve| curve.success.len() - 1).max().unwrap_or(1);
        let mut chart = ChartBuilder::on(panel)
            .caption(task.name(), ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..rounds as f64, 0.0..100.0)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("federated rounds").y_desc("episodes that succeed, %").x_labels(rounds + 1).draw()?;
        for (index, size) in Size::ALL.into_iter().enumerate() {
            let same: Vec<_> = ours.iter().filter(|curve| curve.size == size).collect();
            if same.is_empty() {
                continue;
            }
            for (cohort, name, width) in [(0, "held out", 3), (1, "outside the distribution", 1)] {
                let style = Palette99::pick(index).to_rgba().stroke_width(width);
                let sum = |round: usize| same.iter().map(|curve| curve.success[round][cohort]).sum::<f64>();
                let points = (0..=rounds).map(|round| (round as f64, 100.0 * sum(round) / same.len() as f64));
                let line = chart.draw_series(LineSeries::new(points, style))?;
                let key = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style);
                line.label(format!("{}, {name}", size.name())).legend(key);
            }
        }
        let corner = SeriesLabelPosition::LowerRight;
        chart.configure_series_labels().position(corner).background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    }
    root.present()?;
    Ok(())
}
