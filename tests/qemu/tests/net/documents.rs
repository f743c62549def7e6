//! `docs/http-api.md` says what the service does: each example is asked for, and the keys of the answer
//! are those of the example.

use qemu_tests::http::Client;
use qemu_tests::service::Address;
use serde_json::Value;

use crate::Body;
use crate::Where::{self, Once, OnceAlone};
use crate::events::{next, open};
use crate::protocol::check;

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("api_examples_have_the_right_keys", OnceAlone, examples),
    ("api_documents_every_path", Once, paths),
];

/// What begins the line that names an example's request.
const REQUEST: &str = "```http\n";
const ANSWER: &str = "```json\n";

fn document() -> Result<String, String> {
    let path = xtask::tree::root().join("docs/http-api.md");
    std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Requests with the JSON that follows each.
fn pairs(text: &str) -> Result<Vec<(String, Value)>, String> {
    let mut found = Vec::new();
    for part in text.split(REQUEST).skip(1) {
        let (request, rest) = part.split_once("\n```").ok_or("a request without end")?;
        let Some((_, json)) = rest.split_once(ANSWER) else {
            continue;
        };
        let json = json.split("\n```").next().unwrap_or_default();
        let value = serde_json::from_str(json).map_err(|e| format!("{request}: {e}"))?;
        found.push((request.trim().to_owned(), value));
    }
    Ok(found)
}

/// Fails for a key of either that the other lacks. Of lists every element of the example must be like
/// some element of the answer. A key that is rarely there is documented by its name in the text.
fn compare(text: &str, at: &str, example: &Value, answer: &Value) -> Result<(), String> {
    match (example, answer) {
        (Value::Object(e), Value::Object(a)) => {
            for (key, value) in e {
                let other = a
                    .get(key)
                    .ok_or_else(|| format!("{at}.{key} is not in the answer"))?;
                compare(text, &format!("{at}.{key}"), value, other)?;
            }
            let told = |key: &&String| e.contains_key(*key) || text.contains(&format!("`{key}`"));
            match a.keys().find(|key| !told(key)) {
                Some(key) => Err(format!("{at}.{key} is not documented")),
                None => Ok(()),
            }
        }
        (Value::Array(e), Value::Array(a)) => {
            for (i, value) in e.iter().enumerate() {
                let place = format!("{at}[{i}]");
                let mut first = None;
                let like = |other: &Value| match compare(text, &place, value, other) {
                    Ok(()) => true,
                    Err(why) => {
                        first.get_or_insert(why);
                        false
                    }
                };
                if !a.iter().any(like) {
                    let why = first.unwrap_or_else(|| "the answer has none".to_owned());
                    return Err(format!("{place} is like nothing in the answer: {why}"));
                }
            }
            Ok(())
        }
        (Value::Null, _) | (_, Value::Null) => Ok(()),
        _ if std::mem::discriminant(example) == std::mem::discriminant(answer) => Ok(()),
        _ => Err(format!("{at}: {example} is of another type than {answer}")),
    }
}

fn examples(at: Address) -> Result<(), String> {
    let text = document()?;
    let pairs = pairs(&text)?;
    check(pairs.len() >= 14, &format!("{} examples", pairs.len()))?;
    for (request, example) in pairs {
        let answer = if request.starts_with("GET /api/v1/events") {
            next(&mut open(at, "")?)?.1
        } else {
            let whole =
                format!("{request} HTTP/1.1\r\nHost: roundtable\r\nContent-Length: 0\r\n\r\n");
            let answer = Client::connect(at.http)?.ask(whole)?;
            serde_json::from_slice(&answer.body).map_err(|e| format!("{request}: {e}"))?
        };
        compare(&text, &request, &example, &answer)?;
    }
    Ok(())
}

/// Every path that the live page or the README leads to is in the document.
fn paths(at: Address) -> Result<(), String> {
    let text = document()?;
    let page = Client::connect(at.http)?
        .ask(qemu_tests::http::get("/"))?
        .expect(200)?;
    let page = String::from_utf8(page.body).map_err(|e| e.to_string())?;
    let readme = std::fs::read_to_string(xtask::tree::root().join("README.md"))
        .map_err(|e| format!("README.md: {e}"))?;
    // As attributes in the page, as addresses in the README.
    let linked = page.split("href=\"/").skip(1);
    let told = readme.split("127.0.0.1:8080/").skip(1);
    let end = |l: &str| l.find(|c: char| !(c.is_ascii_alphanumeric() || "/_-".contains(c)));
    let paths = linked.chain(told).map(|l| &l[..end(l).unwrap_or(l.len())]);
    let mut count = 0;
    for path in paths.filter(|p| !p.is_empty()) {
        count += 1;
        check(
            text.contains(&format!("/{path}")),
            &format!("/{path} is not documented"),
        )?;
    }
    check(count >= 10, &format!("{count} links"))
}
