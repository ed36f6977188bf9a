//! The rules of a run, fixed before it begins and hashed into its result: thresholds, budgets, the roll-out's plan.

use super::compose::{self, Composition};
use super::learning;
use super::link;
use super::run::Request;
use super::whole::{self, tries};
use crate::failure::Failure;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trust::gate::Thresholds;
use trust::rollout::Plan;

/// Everything that decides what is measured.
///
/// # Errors
/// [`Failure::Internal`] where it cannot be written as JSON.
pub fn config(request: &Request) -> Result<BTreeMap<String, Value>, Failure> {
    let thresholds = learning::thresholds(&request.budget);
    let plan = Plan::default();
    let require: Vec<String> = request.require.iter().map(|label| format!("{label:?}")).collect();
    let mut config = BTreeMap::from([
        ("preset".to_owned(), json!(request.preset)),
        ("filter".to_owned(), json!(request.filter)),
        ("require".to_owned(), json!(require)),
        ("budget".to_owned(), serde_json::to_value(request.budget)?),
        ("thresholds".to_owned(), limits(&thresholds)),
        ("thresholds_sha256".to_owned(), json!(workload::corpus::hex(&thresholds.hash()))),
        ("min_effect".to_owned(), json!(thresholds.min_effect)),
        (
            "rollout".to_owned(),
            json!({
                "canary_percent": plan.canary_percent,
                "steps_percent": plan.steps_percent,
                "healthy_percent": plan.healthy_percent,
            }),
        ),
        (Composition::KEY.to_owned(), json!(Composition::NEWEST.name())),
        ("link_formula".to_owned(), json!(link::FORMULA)),
        ("server_mbit_per_s".to_owned(), json!(compose::SERVER.mbit_per_s)),
        ("server_rtt_ms".to_owned(), json!(compose::SERVER.rtt_ms)),
        ("end_to_end_runs".to_owned(), json!(request.whole_runs)),
        ("end_to_end_link".to_owned(), json!(request.shaping)),
        ("end_to_end_tolerance".to_owned(), json!(whole::TOLERANCE)),
        ("composed".to_owned(), json!(request.composes())),
    ]);
    // What only some runs have is left out of the others: they are compared with those of before there was any.
    if request.profiles.len() > 1 {
        config.insert("profiles".to_owned(), json!(request.profiles));
    }
    if let Some(recorded) = &request.recorded {
        config.insert("corpus".to_owned(), json!(recorded.hash));
    }
    if request.tries() > 1 {
        config.insert(tries::KEY.to_owned(), json!(request.tries()));
        config.insert("end_to_end_quiet_cores".to_owned(), json!(tries::QUIET_CORES));
    }
    Ok(config)
}

/// Each limit by name. The hash beside them is over all that the gate has.
fn limits(thresholds: &Thresholds) -> Value {
    json!({
        "min_effect": thresholds.min_effect,
        "min_robots": thresholds.min_robots,
        "min_outside_robots": thresholds.min_outside_robots,
        "min_episodes": thresholds.min_episodes,
        "max_group_drop": thresholds.max_group_drop,
        "max_violation_rise": thresholds.max_violation_rise,
        "max_kl_nats": thresholds.max_kl_nats,
        "max_outside_drop": thresholds.max_outside_drop,
    })
}

/// One line for people; none of a record that does not have them.
#[must_use]
pub fn told(config: &BTreeMap<String, Value>) -> Option<String> {
    let budget = config.get("budget")?;
    let count = |name: &str| budget.get(name)?.as_u64();
    let rollout = config.get("rollout")?;
    let stages: Vec<u64> = std::iter::once(rollout.get("canary_percent")?.as_u64()?)
        .chain(rollout.get("steps_percent")?.as_array()?.iter().filter_map(Value::as_u64))
        .chain([100])
        .collect();
    let stages: Vec<String> = stages.iter().map(u64::to_string).collect();
    Some(format!(
        "fixed before: min_effect {} (the lower 95 % bound of the gain in success must exceed it), {} campaigns of up to {} attempts, \
         of {} rounds by imitation and {} by reinforcement; gate of {} robots and {} outside x {} episodes; roll-out to {} % of the \
         fleet, {} % of it healthy",
        config.get("min_effect")?,
        count("campaigns")?,
        count("attempts")?,
        count("imitation_rounds")?,
        count("reinforcement_rounds")?,
        count("judged")?,
        count("outside")?,
        count("episodes")?,
        stages.join(", "),
        rollout.get("healthy_percent")?
    ))
}

#[cfg(test)]
mod tests {
    use super::super::grid::Preset;
    use super::super::learning::Budget;
    use super::*;
    use crate::matrix::pipeline::Profile;
    use crate::record::config_sha256;
    use crate::shaping::Shaping;

    fn request() -> Request {
        Request {
            preset: Preset::Smoke,
            filter: String::new(),
            time_budget: None,
            require: vec![],
            budget: Budget::new(2),
            profiles: vec![Profile::Bits8],
            recorded: None,
            shaping: Shaping::Loopback,
            whole_runs: 1,
        }
    }

    #[test]
    fn what_was_fixed_is_named_hashed_and_told() {
        let config = config(&request()).expect("a configuration");
        for name in ["min_effect", "max_kl_nats", "max_outside_drop"] {
            assert!(config["thresholds"].get(name).is_some_and(Value::is_number), "{name} in {config:?}");
        }
        assert_eq!(config["rollout"]["canary_percent"], json!(10));
        let told = told(&config).expect("its rules");
        for part in ["min_effect 0.02", "2 campaigns of up to 3 attempts", "10, 50, 100 %", "95 % of it healthy"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!config.contains_key(tries::KEY), "one try, as in records of before there were more");
        let several = Request { profiles: vec![Profile::Bits8, Profile::Bits4], ..request() };
        let several = super::config(&several).expect("a configuration");
        assert_ne!(config_sha256(&config), config_sha256(&several));
        assert_eq!((config.get("profiles"), several.get("profiles")), (None, Some(&json!(["bits8", "bits4"]))));
        let published = Request { preset: Preset::Standard, ..request() };
        assert_eq!(super::config(&published).map(|config| tries::most(&config)), Ok(tries::MOST));
        let mut other = config.clone();
        other.insert("rollout".to_owned(), json!({"canary_percent": 20}));
        assert_ne!(config_sha256(&config), config_sha256(&other));
        assert_eq!(super::told(&other), None);
    }
}
