//! Where a cell's time went, in words, and what halving each stage would buy.

use super::compose::{Arm, Stage};
use super::outcome::{ArmOutcome, CellOutcome};
use super::tpdi::{Clock, Figure};
use crate::record::Label;
use std::fmt::Write;

/// A duration for people.
#[must_use]
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() => "without bound".to_owned(),
        s if s < 0.001 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A headline for people.
#[must_use]
pub fn headline(figure: Figure) -> String {
    match figure {
        Figure::Improves { seconds, low, high } => {
            let high = high.map_or("without bound".to_owned(), duration);
            format!("{} ({} .. {high})", duration(seconds), duration(low))
        }
        Figure::NoImprovement { at_least_s } => format!("NO-IMPROVEMENT, at least {}", duration(at_least_s)),
    }
}

/// What a label means.
#[must_use]
pub fn meaning(label: Label) -> &'static str {
    match label {
        Label::M => "measured",
        Label::E => "emulated",
        Label::R => "replayed",
        Label::D => "derived",
        Label::P => "policy",
    }
}

/// Where the time of an arm comes from: `M 61 %, D 39 %`. A line breaks after a comma only.
#[must_use]
pub fn mix(arm: &ArmOutcome, clock: Clock) -> String {
    let one = |(label, share): (Label, f64)| match 100.0 * share {
        // What there is little of is not nothing.
        little if little < 0.5 => format!("{label:?}\u{a0}<1\u{a0}%"),
        nearly if nearly > 99.5 && share < 1.0 => format!("{label:?}\u{a0}>99\u{a0}%"),
        percent => format!("{label:?}\u{a0}{percent:.0}\u{a0}%"),
    };
    arm.labels(clock).into_iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A cell in words.
#[must_use]
pub fn explain(cell: &CellOutcome) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = story(cell, &mut text);
    text
}

fn story(cell: &CellOutcome, text: &mut String) -> std::fmt::Result {
    let Some(encrypted) = cell.arm(Arm::Encrypted) else { return Ok(()) };
    let tpdi = &encrypted.tpdi;
    writeln!(text, "{}: {} robots, updates of {} bytes as fp32.", cell.cell, cell.clients, cell.update_bytes)?;
    writeln!(text, "Over {} Mbit/s with {} ms there and back.", cell.mbit_per_s, cell.rtt_ms)?;
    if let Some(profile) = cell.profile {
        writeln!(text, "Values travel as {}.", profile.name())?;
    }
    if cell.min_clients < super::grid::DEFAULT_MIN_CLIENTS {
        writeln!(text, "The key holder's least number of robots was lowered to {}.", cell.min_clients)?;
    }
    if cell.trained == 0 {
        writeln!(text, "No robot trained: all sent what those of a recorded corpus had learned.")?;
    } else if cell.trained < cell.clients {
        writeln!(text, "{} robots trained; the others sent what these had learned.", cell.trained)?;
    }
    writeln!(
        text,
        "\n{} of {} attempts in {} campaigns were deployed, {} taken back; success on held-out robots {:.0} %{}.",
        tpdi.deployed,
        tpdi.attempts,
        tpdi.campaigns,
        tpdi.rolled_back,
        100.0 * cell.success_before,
        cell.success_after.map_or(String::new(), |after| format!(" before, {:.0} % after", 100.0 * after)),
    )?;
    let [active_mix, wall_mix] = [Clock::Active, Clock::Wall].map(|clock| mix(encrypted, clock));
    writeln!(
        text,
        "Time per deployed improvement, computing and transfers: {} ({active_mix}).",
        headline(tpdi.active)
    )?;
    writeln!(text, "With what policy waits for: {} ({wall_mix}).", headline(tpdi.wall))?;
    writeln!(text, "\nAn attempt's active time, and what halving each stage would save of it:")?;
    let active: f64 = active(encrypted);
    for stage in Stage::ALL {
        let parts: Vec<_> =
            encrypted.stages.iter().filter(|part| part.stage == stage && part.label != Label::P).collect();
        let seconds: f64 = parts.iter().map(|part| part.seconds).sum();
        if seconds > 0.0 {
            let labels: Vec<&str> = parts.iter().map(|part| meaning(part.label)).collect();
            let share = 100.0 * seconds / active;
            writeln!(
                text,
                "  {:10} {:>10}  {share:5.1} %   halved: {:4.1} % less   ({})",
                stage.name(),
                duration(seconds),
                share / 2.0,
                labels.join(" + ")
            )?;
        }
    }
    if let Some(plain) = cell.arm(Arm::Plaintext) {
        let without = self::active(plain);
        writeln!(
            text,
            "\nEncryption costs {} of {} active time ({:.1} %; without it {}): {} bytes go up instead of {}.",
            duration(active - without),
            duration(active),
            100.0 * (active - without) / active,
            mix(plain, Clock::Active),
            encrypted.upload_bytes,
            plain.upload_bytes
        )?;
    }
    Ok(())
}

/// An attempt's seconds of computing and transfers.
#[must_use]
pub fn active(arm: &ArmOutcome) -> f64 {
    arm.stages.iter().filter(|part| part.label != Label::P).map(|part| part.seconds).sum()
}
