//! Reading Rust (and WGSL) a little: enough to tell code from comments and to find functions.

use crate::Complaints;

/// The text with comments and the insides of strings and character literals blanked, line for line.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let end = match bytes[i] {
            b'/' if bytes[i..].starts_with(b"//") => i + text[i..].find('\n').unwrap_or(text.len() - i),
            b'/' if bytes[i..].starts_with(b"/*") => i + text[i..].find("*/").map_or(text.len() - i, |n| n + 2),
            b'"' => string_end(text, i),
            b'\'' => character_end(bytes, i),
            _ => i + 1,
        };
        if end > i + 1 {
            out[i..end].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        }
        i = end;
    }
    String::from_utf8(out).expect("whole characters were blanked")
}

/// The end of the string literal that opens at `at`: raw if `r` or `r#` stands before it.
pub(crate) fn string_end(text: &str, at: usize) -> usize {
    let before = text[..at].trim_end_matches('#');
    let hashes = at - before.len();
    if before.ends_with('r') && (hashes > 0 || !before[..before.len() - 1].ends_with(char::is_alphanumeric)) {
        let close = format!("\"{}", "#".repeat(hashes));
        return text[at + 1..].find(&close).map_or(text.len(), |n| at + 1 + n + close.len());
    }
    let bytes = text.as_bytes();
    let mut i = at + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

/// The end of the character literal at `at`, or `at + 1` where the quote opens a lifetime.
pub(crate) fn character_end(bytes: &[u8], at: usize) -> usize {
    let inside = if bytes.get(at + 1) == Some(&b'\\') { at + 3 } else { at + 2 };
    let close = bytes.iter().skip(inside).take(9).position(|b| *b == b'\'').map(|n| inside + n);
    let is_lifetime = |end: usize| bytes[at + 1] != b'\\' && bytes[at + 1].is_ascii() && end > at + 2;
    close.filter(|end| !is_lifetime(*end)).map_or(at + 1, |end| end + 1)
}

/// Without the items under `#[cfg(test)]`, line numbers kept.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.to_string();
    while let Some(at) = out.find("#[cfg(test)]") {
        let end = block_end(&out, at).unwrap_or(out.len());
        let blank: String = out[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..end, &blank);
    }
    out
}

/// The end of the first braced block after `at`, or of the first `;` outside brackets if that comes before it.
pub(crate) fn block_end(code: &str, at: usize) -> Option<usize> {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (i, b) in code.bytes().enumerate().skip(at) {
        match b {
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b'{' => braces += 1,
            b'}' => braces -= 1,
            _ => {}
        }
        if matches!(b, b'}' | b';') && braces == 0 && others == 0 {
            return Some(i + 1);
        }
    }
    None
}

/// Every function with a body: its name, and its lines from signature to closing brace.
pub(crate) fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ").filter(|(at, _)| !code[..*at].ends_with(is_word)) {
        let name: String = code[at + 3..].chars().take_while(|c| is_word(*c)).collect();
        if let Some(end) = block_end(code, at).filter(|end| !name.is_empty() && code[..*end].ends_with('}')) {
            found.push((name, code[at..end].lines().count()));
        }
    }
    found
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the needles stand as whole words.
pub(crate) fn words(path: &str, code: &str, needles: &[&str]) -> Complaints {
    let mut complaints = Vec::new();
    for needle in needles {
        for (at, _) in code.match_indices(needle) {
            let follows = needle.ends_with(is_word) && code[at + needle.len()..].starts_with(is_word);
            if !code[..at].ends_with(is_word) && !follows {
                complaints.push(format!("{path}:{}: {needle}", line_of(code, at)));
            }
        }
    }
    complaints
}

pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}
