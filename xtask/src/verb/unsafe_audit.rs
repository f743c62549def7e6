//! `unsafe-audit`: keeps `docs/unsafe.md`, the table of every file that says `unsafe`.
//!
//! The lints make each use justify itself where it stands; the table makes growth visible in a
//! diff. The command rewrites the table and fails when that changed it, so a commit that adds
//! unsafe code carries the changed row.

use std::path::Path;

use crate::{Failure, Outcome, sources, tree};

const TABLE: &str = "docs/unsafe.md";

/// One file that says `unsafe`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    file: String,
    blocks: usize,
    /// `unsafe fn`, `unsafe impl`, `unsafe trait`, `unsafe extern`.
    items: usize,
    /// `#[unsafe(no_mangle)]` and the like.
    attributes: usize,
    reasons: Vec<String>,
}

/// Checks the table, and writes it unless `check_only`.
pub fn run(check_only: bool) -> Outcome<u8> {
    let rows = rows();
    let silent: Vec<&str> = rows
        .iter()
        .filter(|r| r.reasons.is_empty())
        .map(|r| r.file.as_str())
        .collect();
    if !silent.is_empty() {
        return Err(Failure::failed(format!(
            "unsafe code without #[expect(unsafe_code, reason = …)]: {}",
            silent.join(", ")
        )));
    }
    let table = table(&rows);
    let path = tree::root().join(TABLE);
    if std::fs::read_to_string(&path).is_ok_and(|old| old == table) {
        return Ok(0);
    }
    if check_only {
        return Err(Failure::failed(format!(
            "{TABLE} is out of date; run `cargo xtask unsafe-audit` and commit the result"
        )));
    }
    std::fs::write(&path, table)
        .map_err(|e| Failure::failed(format!("cannot write {TABLE}: {e}")))?;
    Err(Failure::failed(format!(
        "{TABLE} has changed; look at the difference and commit it"
    )))
}

fn rows() -> Vec<Row> {
    let files = sources::rust_files();
    files
        .iter()
        .filter_map(|(path, text)| row(path, text))
        .collect()
}

fn row(path: &Path, text: &str) -> Option<Row> {
    let code = sources::code(text, false);
    let (mut blocks, mut items, mut attributes) = (0, 0, 0);
    for (at, word) in code.match_indices("unsafe") {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        if part(before) || part(after) {
            continue;
        }
        let rest = code[at + word.len()..].trim_start();
        let next = |w: &str| rest.strip_prefix(w).is_some_and(|r| !r.starts_with('('));
        if rest.starts_with('{') {
            blocks += 1;
        } else if rest.starts_with('(') && before == Some('[') {
            attributes += 1;
        } else if ["fn ", "impl", "trait ", "extern "].iter().any(|w| next(w)) {
            // `unsafe fn(…)` without a name is a type, not a promise.
            items += 1;
        }
    }
    let is_any = blocks + items + attributes > 0;
    is_any.then(|| Row {
        file: path.to_string_lossy().replace('\\', "/"),
        blocks,
        items,
        attributes,
        reasons: reasons(&sources::code(text, true)),
    })
}

/// Reasons of the file's `expect(unsafe_code, …)` attributes, each once.
fn reasons(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, _) in text.match_indices("expect(") {
        let rest = text[at + "expect(".len()..].trim_start();
        let Some(rest) = rest.strip_prefix("unsafe_code") else {
            continue;
        };
        let Some((_, rest)) = rest.split_once('"') else {
            continue;
        };
        let Some((reason, _)) = rest.split_once('"') else {
            continue;
        };
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        if !found.contains(&reason) {
            found.push(reason);
        }
    }
    found
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Where `unsafe` lives\n\n\
         Written by `cargo xtask unsafe-audit`; a changed table fails the check until it is \
         committed.\n\n\
         | File | Blocks | Items | Attributes | Why |\n| --- | ---: | ---: | ---: | --- |\n",
    );
    for row in rows {
        let Row {
            file,
            blocks,
            items,
            attributes,
            reasons,
        } = row;
        let why = reasons.join("; ").replace('|', "\\|");
        text.push_str(&format!(
            "| `{file}` | {blocks} | {items} | {attributes} | {why} |\n"
        ));
    }
    let sum = |count: fn(&Row) -> usize| rows.iter().map(count).sum::<usize>();
    let (blocks, items, attributes) = (sum(|r| r.blocks), sum(|r| r.items), sum(|r| r.attributes));
    text.push_str(&format!(
        "| {} files | {blocks} | {items} | {attributes} | |\n",
        rows.len()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_counted_by_kind() {
        let text = r#"
            #![expect(unsafe_code, reason = "registers")]
            // unsafe { in a comment }
            #[unsafe(no_mangle)]
            unsafe fn f(g: unsafe fn(u8)) { let s = "unsafe {}"; unsafe { g(1) } }
            unsafe impl Sync for X {}
        "#;
        let row = row(Path::new("a.rs"), text).unwrap();
        assert_eq!((row.blocks, row.items, row.attributes), (1, 2, 1));
        assert_eq!(row.reasons, ["registers"]);
    }

    #[test]
    fn a_safe_file_has_no_row() {
        assert_eq!(
            row(
                Path::new("a.rs"),
                "fn f() { /* unsafe */ } #![forbid(unsafe_code)]"
            ),
            None
        );
    }
}
