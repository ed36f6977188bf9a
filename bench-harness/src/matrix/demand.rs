//! What a run may claim: labels that were demanded of it, and totals that a run end to end confirms.

use super::explain::meaning;
use super::grid::{Cell, Fleet, Link};
use super::learning::Budget;
use super::run::{NO_WHOLE, Request};
use super::tpdi::Clock;
use super::whole;
use crate::failure::Failure;
use crate::record::{Label, Record};
use std::collections::BTreeSet;

/// Labels of the active time of a composed cell: computing is measured, transfers are derived, and training is replayed where not
/// every robot trains.
#[must_use]
pub fn labels(fleet: Fleet, budget: &Budget) -> BTreeSet<Label> {
    let replayed = (budget.trained(fleet.size) < fleet.clients).then_some(Label::R);
    [Label::M, Label::D].into_iter().chain(replayed).collect()
}

/// Labels in words: `M, D`.
#[must_use]
pub fn listed<'a>(labels: impl IntoIterator<Item = &'a Label>) -> String {
    labels.into_iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ")
}

fn allows(require: &[Label], labels: &BTreeSet<Label>) -> bool {
    labels.iter().all(|label| require.contains(label))
}

/// Whoever demands what a run cannot give is told before hours are spent.
///
/// # Errors
/// [`Failure::Unmet`] where a cell's active time would have a label that is not allowed.
pub fn before(
    request: &Request,
    fleets: &[(Fleet, Vec<Cell>)],
    whole: Option<&(Fleet, Vec<Option<Link>>)>,
) -> Result<(), Failure> {
    let (require, of_whole) = (&request.require, request.shaping.label());
    if require.is_empty() {
        return Ok(());
    }
    if !request.composes() && whole.is_none() {
        return Err(Failure::Unmet(format!("without D only a cell that goes end to end is run, and {NO_WHOLE}")));
    }
    if whole.is_some() && !require.contains(&of_whole) {
        return Err(Failure::Unmet(format!(
            "over this link the time of the cell that goes end to end is {of_whole:?}, {}: allow {of_whole:?}, or take \
             another --link",
            meaning(of_whole)
        )));
    }
    if !request.composes() {
        return Ok(());
    }
    let beyond: Vec<String> = fleets
        .iter()
        .map(|(fleet, _)| (fleet, labels(*fleet, &request.budget)))
        .filter(|(_, labels)| !allows(require, labels))
        .map(|(fleet, labels)| format!("{fleet} would be {}", listed(&labels)))
        .collect();
    if beyond.is_empty() {
        return Ok(());
    }
    Err(Failure::Unmet(format!(
        "allowed are {}; {}. Allow their labels, leave them out by --filter, or let every robot train (--train, and no --corpus); without D only \
         the cell that goes end to end is run",
        listed(require),
        beyond.join("; ")
    )))
}

/// Whether a finished run may be believed: the record is kept either way.
///
/// # Errors
/// [`Failure::Unmet`] where a preset for publishing has composed totals that no run end to end confirms, or where what was demanded
/// could not be had.
pub fn verdict(request: &Request, record: &Record) -> Result<(), Failure> {
    let reasons = || record.cells.iter().filter_map(|cell| cell.not_run.clone()).collect::<Vec<_>>().join("; ");
    if !request.composes() && record.end_to_end.is_empty() {
        return Err(Failure::Unmet(format!("no cell went end to end: {}", reasons())));
    }
    demanded(&request.require, record)?;
    // Without D nothing is composed, so there is nothing to confirm.
    if !request.preset.refuses() || !request.composes() {
        return Ok(());
    }
    let apart: Vec<String> = record
        .end_to_end
        .iter()
        .filter(|whole| whole.agrees == Some(false))
        .map(|whole| format!("{}: {}", whole.cell, whole.told()))
        .collect();
    if !apart.is_empty() {
        let allowed = 100.0 * whole::TOLERANCE;
        return Err(Failure::Unmet(format!(
            "composed totals are more than {allowed:.0} % from what went end to end, so they are not to be published; {}. {}",
            apart.join("; "),
            advice(record)
        )));
    }
    if record.end_to_end.iter().all(|whole| whole.agrees.is_none()) {
        return Err(Failure::Unmet(format!(
            "no composed total was held against a cell that went end to end, so they are not to be published: {}",
            reasons()
        )));
    }
    Ok(())
}

/// What to do about totals that are apart.
fn advice(record: &Record) -> &'static str {
    let apart = || record.end_to_end.iter().filter(|whole| whole.agrees == Some(false));
    let quiet = |whole: &whole::WholeOutcome| whole.tries.iter().any(|one| one.counts && one.quiet == Some(true));
    if apart().any(quiet) {
        "The machine was quiet, so a part is missing in what is put together, or put together wrongly: part by part is in the report"
    } else {
        "Repeat it on a machine that does nothing else"
    }
}

/// What a record holds, against what was demanded: whatever was planned, this is what counts.
fn demanded(require: &[Label], record: &Record) -> Result<(), Failure> {
    if require.is_empty() {
        return Ok(());
    }
    let composed = record.matrix.iter().map(|cell| {
        let labels = cell.arms.iter().flat_map(|arm| arm.labels(Clock::Active).into_keys()).collect();
        (&cell.cell, labels)
    });
    let whole = record.end_to_end.iter().map(|whole| (&whole.cell, BTreeSet::from([whole.label])));
    let beyond: Vec<String> = composed
        .chain(whole)
        .filter(|(_, labels)| !allows(require, labels))
        .map(|(cell, labels)| format!("{cell} is {}", listed(&labels)))
        .collect();
    if beyond.is_empty() {
        return Ok(());
    }
    Err(Failure::Unmet(format!("allowed are {}; {}", listed(require), beyond.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::super::grid::Preset;
    use super::super::run::cells;
    use super::*;
    use crate::matrix::pipeline::Profile;
    use crate::record::journal::read_limited;
    use crate::shaping::Shaping;
    use std::path::Path;

    fn request(filter: &str, require: &[Label]) -> Request {
        Request {
            preset: Preset::Smoke,
            filter: filter.to_owned(),
            time_budget: None,
            require: require.to_vec(),
            budget: Budget::new(1),
            profiles: vec![Profile::Bits8],
            recorded: None,
            shaping: Shaping::Loopback,
            whole_runs: 0,
        }
    }

    fn refused(request: &Request) -> Option<u8> {
        let fleets = cells(request).expect("cells");
        before(request, &fleets, None).map_err(|failure| failure.code()).err()
    }

    #[test]
    fn a_cell_with_a_label_that_was_not_allowed_is_refused() {
        use Label::{D, M, P, R};
        let all_train = "clients==10 && net==100mbit";
        let some_replay = "clients==20 && net==100mbit";
        assert_eq!(refused(&request(all_train, &[M, D])), None);
        assert_eq!(refused(&request(some_replay, &[M, D])), Some(7), "ten of twenty train");
        assert_eq!(refused(&request(some_replay, &[M, R, D])), None);
        assert_eq!(refused(&request(all_train, &[D])), Some(7), "computing is measured");
        assert_eq!(refused(&request(all_train, &[D, R, P])), Some(7));
        assert_eq!(refused(&request("net==100mbit", &[M, D])), Some(7), "one of them is too many");
        let trained = request(some_replay, &[M, D]);
        let trained = Request { budget: Budget { most_trained: Some(20), ..trained.budget }, ..trained };
        assert_eq!(refused(&trained), None);
    }

    #[test]
    fn a_shaped_link_is_no_measurement_beside_composed_cells_either() {
        use Label::{D, E, M};
        let paced = |require: &[Label]| {
            let request = Request { shaping: Shaping::Paced, ..request("clients==10 && net==100mbit", require) };
            let fleets = cells(&request).expect("cells");
            let whole = (fleets[0].0, vec![Some(fleets[0].1[0].link)]);
            before(&request, &fleets, Some(&whole)).map_err(|failure| failure.code()).err()
        };
        assert_eq!([paced(&[M, D]), paced(&[M, D, E]), paced(&[M, E])], [Some(7), None, None]);
    }

    /// A committed run of this preset, whose one cell that went end to end agrees.
    fn recorded() -> Record {
        let file = "../results/2026-11-22-amd-epyc-2c-matrix-standard/result.json";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        serde_json::from_slice(&read_limited(&file).expect("a committed record")).expect("a record")
    }

    #[test]
    fn what_is_for_publishing_must_be_confirmed_end_to_end() {
        let code = |preset, agrees: Option<Option<bool>>| {
            let mut record = recorded();
            match agrees {
                None => record.end_to_end.clear(),
                Some(agrees) => record.end_to_end[0].agrees = agrees,
            }
            let request = Request { preset, whole_runs: 9, ..request("", &[]) };
            verdict(&request, &record).map_err(|failure| failure.code()).err()
        };
        let all = [None, Some(None), Some(Some(false)), Some(Some(true))];
        assert_eq!(all.map(|agrees| code(Preset::Standard, agrees)), [Some(7), Some(7), Some(7), None]);
        assert_eq!(all.map(|agrees| code(Preset::Smoke, agrees)), [None; 4]);
    }

    #[test]
    fn a_record_is_held_to_what_was_demanded() {
        use Label::{D, M, R};
        let code =
            |require: &[Label]| verdict(&request("", require), &recorded()).map_err(|failure| failure.code()).err();
        assert_eq!([code(&[M, D]), code(&[M, R, D]), code(&[])], [Some(7), None, None]);
    }
}
