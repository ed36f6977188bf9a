//! What a gate found.

use core::fmt;
use minicbor::{Decode, Encode};

/// A reason for which a candidate can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Rule {
    /// Enough robots and episodes were evaluated.
    #[n(0)]
    Evidence,
    /// It is better on the fleet, by more than the least effect.
    #[n(1)]
    Improvement,
    /// No group of robots succeeds less.
    #[n(2)]
    Regression,
    /// No group of robots breaks safety rules more often.
    #[n(3)]
    Safety,
    /// It does not act all too differently.
    #[n(4)]
    Divergence,
    /// It is no worse on robots from beyond the fleet.
    #[n(5)]
    Robustness,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Evidence, Self::Improvement, Self::Regression, Self::Safety, Self::Divergence, Self::Robustness];

    /// What its figure is.
    #[must_use]
    pub fn figure(self) -> &'static str {
        match self {
            Self::Evidence => "count",
            Self::Improvement | Self::Regression | Self::Robustness => "success, new - old, lower 95 % bound",
            Self::Safety => "share of episodes with a violation, new - old, upper 95 % bound",
            Self::Divergence => "KL(new || old) in nats",
        }
    }
}

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub enum Limit {
    /// This or more.
    #[n(0)]
    AtLeast(#[n(0)] f64),
    /// More than this.
    #[n(1)]
    Above(#[n(0)] f64),
    /// This or less.
    #[n(2)]
    AtMost(#[n(0)] f64),
    /// Less than this.
    #[n(3)]
    Below(#[n(0)] f64),
}

impl Limit {
    /// Whether a figure keeps it. What is no number keeps none.
    #[must_use]
    pub fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(limit) => figure >= limit,
            Self::Above(limit) => figure > limit,
            Self::AtMost(limit) => figure <= limit,
            Self::Below(limit) => figure < limit,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
            Self::Above(limit) => write!(f, "above {limit}"),
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::Below(limit) => write!(f, "below {limit}"),
        }
    }
}

/// A rule, applied to somebody.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Finding {
    /// The rule.
    #[n(0)]
    pub rule: Rule,
    /// The robots or the group it looked at.
    #[n(1)]
    pub subject: String,
    /// What it saw.
    #[n(2)]
    pub figure: f64,
    /// What it should have seen.
    #[n(3)]
    pub limit: Limit,
}

impl Finding {
    /// Whether the rule holds here.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.limit.holds(self.figure)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.holds() { "holds" } else { "BROKEN" };
        let Self { rule, subject, figure, limit } = self;
        write!(f, "{word:<6}  {rule:?} ({subject}): {figure:.4}, {limit} [{}]", rule.figure())
    }
}

/// What [`judge`](super::judge) found, rule by rule.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Verdict {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(super) candidate: [u8; 32],
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(super) thresholds: [u8; 32],
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(super) evaluation: [u8; 32],
    #[n(3)]
    pub(super) findings: Vec<Finding>,
}

impl Verdict {
    /// The fingerprint of the package it is about.
    #[must_use]
    pub fn candidate(&self) -> &[u8; 32] {
        &self.candidate
    }

    /// The hash of the thresholds it was held against.
    #[must_use]
    pub fn thresholds(&self) -> &[u8; 32] {
        &self.thresholds
    }

    /// The digest of the evaluation.
    #[must_use]
    pub fn evaluation(&self) -> &[u8; 32] {
        &self.evaluation
    }

    /// Every rule with its figure and its limit.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether the candidate may be deployed: every rule was applied, and holds everywhere.
    #[must_use]
    pub fn passed(&self) -> bool {
        let applied = |rule| self.findings.iter().any(|finding| finding.rule == rule);
        Rule::ALL.into_iter().all(applied) && self.findings.iter().all(Finding::holds)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.passed() { "passed" } else { "refused" })?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_left_out_a_rule_is_no_pass() {
        let holds = |rule| Finding { rule, subject: "x".into(), figure: 1.0, limit: Limit::AtLeast(1.0) };
        let verdict = |rules: &[Rule]| {
            let findings = rules.iter().copied().map(holds).collect();
            Verdict { candidate: [0; 32], thresholds: [0; 32], evaluation: [0; 32], findings }
        };
        assert!(verdict(&Rule::ALL).passed());
        for left_out in 0..Rule::ALL.len() {
            let mut rules = Rule::ALL.to_vec();
            rules.remove(left_out);
            assert!(!verdict(&rules).passed(), "{:?}", Rule::ALL[left_out]);
        }
    }

    #[test]
    fn a_limit_is_on_the_side_it_says_and_no_number_keeps_none() {
        let held = |limit: Limit| [0.9, 1.0, 1.1, f64::NAN].map(|figure| limit.holds(figure));
        assert_eq!(held(Limit::AtLeast(1.0)), [false, true, true, false]);
        assert_eq!(held(Limit::Above(1.0)), [false, false, true, false]);
        assert_eq!(held(Limit::AtMost(1.0)), [true, true, false, false]);
        assert_eq!(held(Limit::Below(1.0)), [true, false, false, false]);
    }
}
