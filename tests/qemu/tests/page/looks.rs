//! Whether the page can be read and used: by keyboard, in both colour schemes, by screen readers, in any
//! window.

use serde_json::Value;
use xtask::browser::Browser;

use crate::{LATE, check, content, live};

pub(crate) fn keyboard(b: &mut Browser, url: &str) -> Result<(), String> {
    live(b, url)?;
    let wanted = b.evaluate("[...document.querySelectorAll('a,button,input,select,[tabindex=\"0\"]')].filter(e => !e.closest(':disabled') && e.offsetParent).length")?;
    let wanted = wanted.as_u64().unwrap_or(0);
    check(wanted > 20, &format!("{wanted} things to reach"))?;
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..wanted + 5 {
        b.press("Tab", 9)?;
        let here = b.evaluate("(() => { const e = document.activeElement; if (!e || e === document.body) return null; const s = getComputedStyle(e); return [[...document.querySelectorAll('*')].indexOf(e), s.outlineStyle, parseFloat(s.outlineWidth)] })()")?;
        let Some(index) = here[0].as_u64() else {
            continue;
        };
        check(
            here[1] != "none" && here[2].as_f64() >= Some(2.0),
            &format!("focus is visible: {here}"),
        )?;
        reached.insert(index);
    }
    check(
        reached.len() as u64 >= wanted,
        &format!("{} of {wanted} reached", reached.len()),
    )?;
    // And its button works without a mouse.
    b.evaluate("document.querySelector('[data-demo=burst] [name=n]').focus()")?;
    b.press("Enter", 13)?;
    b.wait_for(
        "the burst is queued",
        "document.getElementById('said').textContent.includes('queued on demo')",
        LATE,
    )?;
    b.wait_for("it ends", "document.body.dataset.demo === '0'", LATE)?;
    content(b)
}

/// Contrast of every text with what is behind it (WCAG 2.2, 1.4.3: 4.5, or 3 if it is large).
const CONTRAST: &str = r"(() => {
  const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m };
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > .99) return c.slice(0, 3) } return [255, 255, 255] };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg') || e.closest(':disabled') || !e.getClientRects().length) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const s = getComputedStyle(e), a = light(parse(s.color).slice(0, 3)), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05), large = parseFloat(s.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) bad.push(e.tagName + ' ' + e.textContent.trim().slice(0, 30) + ' ' + ratio.toFixed(2));
  }
  const page = light(behind(document.querySelector('.core')));
  for (const k of ['idle', 'running', 'runnable', 'blocked', 'manager', 'rescuer']) {
    const probe = document.createElement('i'); probe.style.color = `var(--${k})`; document.body.append(probe);
    const c = light(parse(getComputedStyle(probe).color).slice(0, 3)); probe.remove();
    const ratio = (Math.max(c, page) + .05) / (Math.min(c, page) + .05);
    if (ratio < 3) bad.push('seat ' + k + ' ' + ratio.toFixed(2));
  }
  return bad;
})()";

pub(crate) fn contrast(b: &mut Browser, url: &str) -> Result<(), String> {
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        b.prefer(&[("prefers-color-scheme", scheme)])?;
        live(b, url)?;
        let bad = b.evaluate(CONTRAST)?;
        check(bad == Value::Array(Vec::new()), &format!("{scheme}: {bad}"))?;
        grounds.push(b.evaluate("getComputedStyle(document.body).backgroundColor")?);
    }
    check(grounds[0] != grounds[1], "dark is another colour")?;
    content(b)
}

pub(crate) fn names(b: &mut Browser, url: &str) -> Result<(), String> {
    live(b, url)?;
    let tree = b.call("Accessibility.getFullAXTree", &serde_json::json!({}))?;
    let nodes = tree["nodes"].as_array().ok_or("no tree")?;
    let role = |n: &Value| n["role"]["value"].as_str().unwrap_or("").to_owned();
    let name = |n: &Value| n["name"]["value"].as_str().unwrap_or("").to_owned();
    let seen: Vec<(String, String)> = nodes
        .iter()
        .filter(|n| n["ignored"] != true)
        .map(|n| (role(n), name(n)))
        .collect();
    for wanted in [
        "main",
        "banner",
        "complementary",
        "navigation",
        "contentinfo",
        "table",
    ] {
        check(
            seen.iter().any(|(r, _)| r == wanted),
            &format!("there is a {wanted}"),
        )?;
    }
    for (r, n) in &seen {
        let needs = [
            "button",
            "link",
            "spinbutton",
            "combobox",
            "image",
            "img",
            "article",
            "region",
        ];
        check(
            !needs.contains(&r.as_str()) || !n.is_empty(),
            &format!("a {r} has a name"),
        )?;
    }
    let tables = seen
        .iter()
        .filter(|(r, n)| (r == "image" || r == "img") && n.contains("waiting"));
    check(tables.count() >= 9, "every round table says what is on it")?;
    // What changes many times a second is not announced.
    let polite = "document.querySelectorAll('[aria-live],[role=status],[role=alert]').length";
    check(
        b.evaluate(polite)?.as_u64() <= Some(2),
        "two things at most speak up",
    )?;
    content(b)
}

pub(crate) fn small(b: &mut Browser, url: &str) -> Result<(), String> {
    for size in [(320, 700), (768, 1024), (2560, 1200)] {
        b.size(size)?;
        live(b, url)?;
        let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let over = b.evaluate(over)?;
        check(over == 0, &format!("{size:?}: {over} pixels too wide"))?;
    }
    content(b)
}
