//! What is in use when idle, by parts: they add up, and nothing is in two of them.

use serde_json::Value;

use super::number;

/// A part, and its bytes.
pub(super) type Part = (&'static str, i64);

/// Bytes of an event in a trace ring.
const EVENT: u64 = 32;
/// Parts may exceed what they are parts of by so much: the guest looks at one after the other.
const SLACK: i64 = 4096;

/// The parts as `/api/v1/memory` and `/api/v1/trace` tell them; the rests among them are negative if others are too
/// large.
pub(super) fn parts(memory: &Value, trace: &Value) -> Result<Vec<Part>, String> {
    let of = |key| number(memory, key).cast_signed();
    let cores = trace["cores"].as_array().map_or(0, |c| c.len() as u64);
    let rings = (cores * number(trace, "ring_events") * EVENT).cast_signed();
    let live = ("blocks of the heap", of("heap_live_bytes"));
    let whole_pages = ("queues of devices, large buffers", of("heap_page_bytes"));
    let blocks = ("heap: in use", rest(live, &[whole_pages])?);
    let cached = (
        "heap: kept by the cores for the next ones",
        of("heap_cached_bytes"),
    );
    let chunks = ("chunks of the heap", of("heap_chunk_bytes"));
    let mut parts = vec![
        blocks,
        cached,
        ("heap: rest of its chunks", rest(chunks, &[blocks, cached])?),
        whole_pages,
        (
            "stacks of threads and cores, with guards",
            of("stack_bytes"),
        ),
        ("trace rings", rings),
        ("bitmaps of pages", of("page_bitmap_bytes")),
    ];
    let other = rest(("in use when idle", of("mem_used_bytes")), &parts)?;
    parts.extend([
        ("what else", other),
        ("besides: the image, with bss", of("image_bytes")),
        ("besides: page tables", of("page_table_bytes")),
    ]);
    Ok(parts)
}

/// What is left of something without these parts of it; an error that names them if they exceed it by more than
/// [`SLACK`].
fn rest((whole, bytes): Part, parts: &[Part]) -> Result<i64, String> {
    let rest = bytes - parts.iter().map(|(_, bytes)| bytes).sum::<i64>();
    if rest >= -SLACK {
        return Ok(rest);
    }
    let parts: Vec<_> = parts
        .iter()
        .map(|(what, bytes)| format!("{what} ({bytes})"))
        .collect();
    Err(format!(
        "{whole} ({bytes} bytes) is exceeded by {} bytes, something is counted twice: {}",
        -rest,
        parts.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(used: u64, live: u64) -> Result<Vec<Part>, String> {
        let memory = json!({
            "mem_used_bytes": used, "heap_live_bytes": live, "heap_page_bytes": 300_000,
            "heap_cached_bytes": 20_000, "heap_chunk_bytes": 131_072, "stack_bytes": 100_000,
            "page_bitmap_bytes": 8192, "image_bytes": 1_000_000, "page_table_bytes": 16_384
        });
        let trace = json!({"cores": [{}, {}], "ring_events": 1024});
        parts(&memory, &trace)
    }

    #[test]
    fn parts_add_up_to_what_is_in_use() {
        // Once with something else in use, once with a little less than the parts.
        for used in [700_000, 604_000] {
            let parts = told(used, 400_000).unwrap();
            let of = |name| parts.iter().find(|p| p.0 == name).map(|p| p.1);
            assert_eq!(of("heap: in use"), Some(100_000));
            assert_eq!(of("heap: rest of its chunks"), Some(11_072));
            assert_eq!(of("trace rings"), Some(65_536));
            let inside = parts.iter().filter(|p| !p.0.starts_with("besides"));
            assert_eq!(inside.map(|p| p.1).sum::<i64>(), used.cast_signed());
        }
    }

    #[test]
    fn what_is_counted_twice_is_told() {
        let why = told(600_000, 400_000).unwrap_err();
        assert!(
            why.starts_with("in use when idle (600000 bytes) is exceeded by 4800 bytes"),
            "{why}"
        );
        assert!(why.contains("queues of devices, large buffers (300000), stacks"));
        let why = told(700_000, 450_000).unwrap_err();
        assert!(why.starts_with("chunks of the heap (131072 bytes)"));
        assert!(
            why.ends_with(
                "heap: in use (150000), heap: kept by the cores for the next ones (20000)"
            )
        );
        let why = told(700_000, 200_000).unwrap_err();
        assert!(why.contains("queues of devices, large buffers (300000)"));
    }
}
