//! What a user wants of many cases: `clients>=20 && size==1mb && task==imitation`.

use crate::failure::Failure;
use std::cmp::Ordering;

/// One case's answer for a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Compared as a number; `10kb`, `1mb` and `100mbit` are numbers too, in bytes and bits.
    Number(f64),
    /// Compared as a word: only `==` and `!=`.
    Word(&'static str),
}

/// Something with named properties.
pub trait Properties {
    /// The keys that [`Properties::value`] knows.
    const KEYS: &'static [&'static str];

    /// The value of one of them.
    fn value(&self, key: &str) -> Option<Value>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Equal,
    Unequal,
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// Longer signs first: `>=` begins like `>`.
const SIGNS: [(&str, Sign); 6] = [
    ("==", Sign::Equal),
    ("!=", Sign::Unequal),
    (">=", Sign::AtLeast),
    ("<=", Sign::AtMost),
    (">", Sign::Above),
    ("<", Sign::Below),
];

#[derive(Clone, Debug, PartialEq)]
struct Term {
    key: String,
    sign: Sign,
    value: String,
}

/// Terms that must all hold. Without any, everything passes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(Vec<Term>);

impl Filter {
    /// Reads a filter for cases of this kind.
    ///
    /// # Errors
    /// [`Failure::Usage`] says which part is not understood, and what would be.
    pub fn parse<P: Properties>(text: &str) -> Result<Self, Failure> {
        let terms = text.split("&&").map(str::trim).filter(|term| !term.is_empty());
        let terms: Result<Vec<Term>, Failure> = terms.map(term::<P>).collect();
        Ok(Self(terms?))
    }

    /// Whether a term is about this key.
    #[must_use]
    pub fn asks_for(&self, key: &str) -> bool {
        self.0.iter().any(|term| term.key == key)
    }

    /// Whether the case passes.
    ///
    /// # Errors
    /// [`Failure::Usage`] where a term compares a word with a number.
    pub fn admits<P: Properties>(&self, case: &P) -> Result<bool, Failure> {
        for Term { key, sign, value } in &self.0 {
            let holds = match case.value(key) {
                None => false,
                Some(Value::Word(word)) => match sign {
                    Sign::Equal => word == value,
                    Sign::Unequal => word != value,
                    _ => return Err(Failure::Usage(format!("{key} is a word: it can be compared by == and != only"))),
                },
                Some(Value::Number(found)) => {
                    let wanted = number(value).ok_or_else(|| {
                        Failure::Usage(format!("{key} is a number, '{value}' is none; try {key}>=20 or {key}==1mb"))
                    })?;
                    sign.holds(found.total_cmp(&wanted))
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Sign {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Unequal => ordering.is_ne(),
            Self::AtLeast => ordering.is_ge(),
            Self::AtMost => ordering.is_le(),
            Self::Above => ordering.is_gt(),
            Self::Below => ordering.is_lt(),
        }
    }
}

fn term<P: Properties>(text: &str) -> Result<Term, Failure> {
    let parts = SIGNS.iter().find_map(|&(sign, meaning)| text.split_once(sign).map(|parts| (parts, meaning)));
    let keys = || P::KEYS.join(", ");
    let Some(((key, value), sign)) = parts else {
        let why = format!("'{text}' compares nothing; write terms like clients>=20, joined by &&. Keys: {}", keys());
        return Err(Failure::Usage(why));
    };
    let (key, value) = (key.trim(), value.trim());
    if !P::KEYS.contains(&key) {
        return Err(Failure::Usage(format!("nothing has a '{key}'; keys are {}", keys())));
    }
    if value.is_empty() {
        return Err(Failure::Usage(format!("'{text}' lacks a value")));
    }
    Ok(Term { key: key.to_owned(), sign, value: value.to_owned() })
}

/// A number with or without a decimal unit.
fn number(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 6] =
        [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9)];
    let text = text.to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|&(unit, factor)| text.strip_suffix(unit).map(|rest| (rest, factor)));
    let (digits, factor) = unit.unwrap_or((&text, 1.0));
    digits.trim().parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case(f64, &'static str);

    impl Properties for Case {
        const KEYS: &'static [&'static str] = &["clients", "task"];

        fn value(&self, key: &str) -> Option<Value> {
            match key {
                "clients" => Some(Value::Number(self.0)),
                "task" => Some(Value::Word(self.1)),
                _ => None,
            }
        }
    }

    fn admits(filter: &str, case: &Case) -> Result<bool, Failure> {
        Filter::parse::<Case>(filter)?.admits(case)
    }

    #[test]
    fn every_sign_and_unit_selects_what_it_says() {
        let case = Case(1e6, "imitation");
        for (filter, expected) in [
            ("", true),
            ("clients==1mb", true),
            ("clients == 1000 kb", true),
            ("clients!=1mbit", false),
            ("clients>=1e6 && task==imitation", true),
            ("clients>1000000", false),
            ("clients<1gb&&clients<=1mb", true),
            ("clients<1mb", false),
            ("task!=imitation", false),
            ("task==other", false),
        ] {
            assert_eq!(admits(filter, &case), Ok(expected), "{filter}");
        }
    }

    #[test]
    fn what_is_not_understood_is_a_usage_error_that_says_what_would_be() {
        for filter in ["clients", "cleints>=3", "clients>=", "clients>=many", "task>=imitation", "clients==nan"] {
            let failure = admits(filter, &Case(1.0, "imitation")).expect_err(filter);
            assert_eq!(failure.code(), 2, "{filter}: {failure}");
        }
    }
}
