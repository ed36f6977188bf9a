//! The checks: from text to complaints.

use crate::source::{code, functions, is_word, line_of, without_tests, words};
use crate::tree::root;
use crate::{
    ANY, COUNTER, Complaints, EMPTY_NAMES, FILE_LINES, FUNCTION_LINES, KEYLESS_ROOMS, KEYS, LAYERS, LIBRARY_ROOMS,
    LONG, NOT_IN_LIBRARIES, OUTSIDE, UNSAFE_FILES,
};
use std::collections::BTreeSet;

pub(crate) fn edges(package: &str, dependencies: &[String]) -> Complaints {
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == package) else {
        return vec![format!("{package} has no layer: add it to LAYERS")];
    };
    // Its own tests name a package to have all its features.
    let is_allowed =
        |d: &str| d == package || allowed.contains(&d) || (allowed.contains(&ANY) && d != "tensorguard-tests");
    dependencies.iter().filter(|d| !is_allowed(d)).map(|d| format!("{package} -> {d}")).collect()
}

pub(crate) fn outside(package: &str, dependencies: &[String]) -> Complaints {
    let Some((_, allowed)) = OUTSIDE.iter().find(|(name, _)| *name == package) else { return Vec::new() };
    let more = dependencies.iter().filter(|d| !allowed.contains(&d.as_str()));
    more.map(|d| format!("{package} takes {d}")).collect()
}

pub(crate) fn other_versions(path: &str, text: &str, locked: &str) -> Complaints {
    let named = text.match_indices(COUNTER).map(|(at, what)| (at, &text[at + what.len()..]));
    let other = named.filter(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.starts_with(locked));
    other.map(|(at, _)| format!("{path}:{}: not {locked}", line_of(text, at))).collect()
}

/// Files, modules and types with a name that states no fact.
pub(crate) fn empty_names(path: &str, text: &str) -> Complaints {
    let stem = |name: &str| name.split('.').next().unwrap_or(name).to_lowercase();
    let parts = path.split('/').filter(|part| EMPTY_NAMES.contains(&stem(part).as_str()));
    let mut complaints: Complaints = parts.map(|part| format!("{path}: {part}")).collect();
    let text = code(text);
    for (at, what) in ["mod ", "struct ", "enum ", "trait "].iter().flat_map(|what| text.match_indices(what)) {
        let name: String = text[at + what.len()..].chars().take_while(|c| is_word(*c)).collect();
        let says_nothing = |empty: &&str| stem(&name) == **empty || (what != "mod " && stem(&name).ends_with(*empty));
        if !text[..at].ends_with(is_word) && path.ends_with(".rs") && EMPTY_NAMES.iter().any(says_nothing) {
            complaints.push(format!("{path}:{}: {name}", line_of(&text, at)));
        }
    }
    complaints
}

pub(crate) fn bool_parameters(path: &str, text: &str) -> Complaints {
    let text = code(text);
    let mut complaints = Vec::new();
    for (at, _) in text.match_indices("fn ").filter(|(at, _)| !text[..*at].ends_with(is_word)) {
        let head = &text[at..];
        let head = &head[..head.find(['{', ';']).unwrap_or(head.len())];
        let parameters = head.split("->").next().unwrap_or(head);
        // Others' traits have the parameters they have.
        if head.starts_with("fn visit_bool<") {
            continue;
        }
        // What an assertion takes is a condition.
        let parameters = parameters.replace("(condition: bool", "(");
        // A constant parameter can be nothing but an integer, a bool or a char.
        let is_plain = |at: usize| !parameters[..at].trim_end_matches(is_word).ends_with("const ");
        if parameters.match_indices(": bool").any(|(at, _)| is_plain(at)) {
            complaints.push(format!("{path}:{}: a bool parameter", line_of(&text, at)));
        }
    }
    complaints
}

pub(crate) fn unsafe_words(path: &str, text: &str) -> Complaints {
    if UNSAFE_FILES.contains(&path) { Vec::new() } else { words(path, &code(text), &["unsafe"]) }
}

pub(crate) fn unsafe_promise(path: &str, text: &str) -> Complaints {
    let head = text.lines().take_while(|line| line.starts_with("//!"));
    let silent = UNSAFE_FILES.contains(&path) && !head.into_iter().any(|line| line.contains("promise"));
    if silent { vec![format!("{path}: its head does not say who promises what")] } else { Vec::new() }
}

pub(crate) fn library_words(path: &str, text: &str) -> Complaints {
    let in_library = LIBRARY_ROOMS.iter().any(|room| path.starts_with(room));
    if in_library { words(path, &without_tests(&code(text)), NOT_IN_LIBRARIES) } else { Vec::new() }
}

pub(crate) fn key_words(path: &str, text: &str) -> Complaints {
    let keyless = KEYLESS_ROOMS.iter().any(|room| path.starts_with(room));
    if keyless { words(path, &without_tests(&code(text)), KEYS) } else { Vec::new() }
}

/// Divisions outside comments, whatever they divide.
pub(crate) fn divisions(path: &str, text: &str) -> Complaints {
    let text = code(text);
    text.match_indices(['/', '%']).map(|(at, sign)| format!("{path}:{}: {sign}", line_of(&text, at))).collect()
}

pub(crate) fn float_words(path: &str, text: &str) -> Complaints {
    if !path.starts_with("ntt/src") && !path.starts_with("kernels/src/reference") {
        return Vec::new();
    }
    let text = code(text);
    let mut complaints = words(path, &text, &["f32", "f64"]);
    let bytes = text.as_bytes();
    for dot in (1..bytes.len().saturating_sub(1)).filter(|&i| bytes[i] == b'.' && bytes[i + 1].is_ascii_digit()) {
        let before = text[..dot].trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
        let is_literal = before.len() < dot && !before.ends_with(|c: char| c == '.' || c.is_alphanumeric());
        if is_literal {
            complaints.push(format!("{path}:{}: a float literal", line_of(&text, dot)));
        }
    }
    complaints
}

pub(crate) fn stem_differences(folders: &[(&str, BTreeSet<String>)]) -> Complaints {
    let mut complaints = Vec::new();
    for (folder, _) in folders {
        for (other, stems) in folders {
            let missing = |stem: &&String| !folders.iter().any(|(f, s)| f == folder && s.contains(*stem));
            complaints.extend(stems.iter().filter(missing).map(|s| format!("{folder} lacks {s}, which {other} has")));
        }
    }
    complaints
}

pub(crate) fn allowed_lines(what: &str, usual: usize) -> usize {
    LONG.iter().find(|(name, _, _)| *name == what).map_or(usual, |(_, lines, _)| *lines)
}

pub(crate) fn long_files(path: &str, text: &str) -> Complaints {
    let lines = text.lines().count();
    if lines > allowed_lines(path, FILE_LINES) { vec![format!("{path} has {lines} lines")] } else { Vec::new() }
}

pub(crate) fn long_functions(path: &str, text: &str) -> Complaints {
    if !path.ends_with(".rs") && !path.ends_with(".wgsl") {
        return Vec::new();
    }
    let named = functions(&code(text)).into_iter().map(|(name, lines)| (format!("{path}::{name}"), lines));
    let long = named.filter(|(what, lines)| *lines > allowed_lines(what, FUNCTION_LINES));
    long.map(|(what, lines)| format!("{what} has {lines} lines")).collect()
}

/// Table rows and paragraphs with a ratio ("1.31 x") or a rate that name no existing results entry.
pub(crate) fn unsourced(readme: &str, ids: &BTreeSet<String>) -> Complaints {
    let is_ratio = |word: &str| word.strip_suffix(['x', '×']).is_some_and(|n| n.trim_end().parse::<f64>().is_ok());
    let has_figure = |block: &str| {
        let words: Vec<_> =
            block.split_whitespace().map(|w| w.trim_matches(['*', '`', '|', ',', '.', ':', ')'])).collect();
        let has_rate = words.windows(2).any(|pair| pair[0].parse::<f64>().is_ok() && pair[1].ends_with("B/s"));
        has_rate || words.iter().any(|w| is_ratio(w)) || words.windows(2).any(|pair| is_ratio(&pair.concat()))
    };
    let is_row = |line: &str| line.trim_start().starts_with('|');
    let rows = readme.lines().filter(|line| is_row(line)).map(str::to_owned);
    let prose: Vec<&str> = readme.lines().map(|line| if is_row(line) { "" } else { line }).collect();
    let prose = prose.join("\n");
    let blocks = rows.chain(prose.split("\n\n").map(str::to_owned)).filter(|block| has_figure(block));
    let unknown = blocks.filter(|block| !named_results(block).any(|id| ids.contains(id)));
    unknown.map(|block| format!("README.md: {}", block.trim())).collect()
}

pub(crate) fn unknown_results(path: &str, text: &str, ids: &BTreeSet<String>) -> Complaints {
    let unknown = named_results(text).filter(|id| !ids.contains(*id));
    unknown.map(|id| format!("{path}: results/{id} does not exist")).collect()
}

/// `results/<id>` where the id starts with a digit, so that `results/<date>-..` in prose is no reference.
pub(crate) fn named_results(text: &str) -> impl Iterator<Item = &str> {
    let ids = text.split("results/").skip(1);
    let ids =
        ids.map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).next().unwrap_or(""));
    ids.map(|id| id.trim_end_matches('.')).filter(|id| id.starts_with(|c: char| c.is_ascii_digit()))
}

pub(crate) fn result_name(id: &str) -> Complaints {
    let mut parts = id.split('-');
    let mut digits =
        |n: usize| parts.next().is_some_and(|part| part.len() == n && part.bytes().all(|b| b.is_ascii_digit()));
    let dated = digits(4) && digits(2) && digits(2);
    if dated && parts.count() >= 2 { Vec::new() } else { vec![format!("results/{id}: not <date>-<machine>-<what>")] }
}

pub(crate) fn machine_paths(path: &str, text: &str) -> Complaints {
    let homes = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
    let mut complaints = Vec::new();
    for home in homes {
        for (at, _) in text.match_indices(home) {
            let starts_there = !text[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}/~$".contains(c));
            if starts_there {
                complaints.push(format!("{path}:{}: {home}", line_of(text, at)));
            }
        }
    }
    complaints
}

pub(crate) fn dead_links(path: &str, text: &str) -> Complaints {
    let here = root().join(path);
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    let dead =
        links.filter(|link| !link.is_empty() && !link.contains(':') && !here.with_file_name("").join(link).exists());
    dead.map(|link| format!("{path}: ({link})")).collect()
}
