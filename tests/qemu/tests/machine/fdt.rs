//! A device tree blob taken apart and put together again with changes (Devicetree Specification 0.4,
//! chapter 5): what a test needs to describe a machine QEMU would not make.

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const END: u32 = 9;
/// Bytes of the header.
const HEADER: usize = 40;

fn word(blob: &[u8], at: usize) -> Result<u32, String> {
    let bytes = blob.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes
        .map(u32::from_be_bytes)
        .ok_or_else(|| format!("no word at {at}"))
}

fn text(blob: &[u8], at: usize) -> Result<&str, String> {
    let rest = blob.get(at..).ok_or("a string outside the blob")?;
    let end = rest
        .iter()
        .position(|&b| b == 0)
        .ok_or("an endless string")?;
    std::str::from_utf8(&rest[..end]).map_err(|e| e.to_string())
}

/// A copy of `blob`, packed, in which `edit` was asked about every property: node name, property name,
/// value. `Some` is the new value. Counts the changes.
pub(crate) fn edit(
    blob: &[u8],
    mut edit: impl FnMut(&str, &str, &[u8]) -> Option<Vec<u8>>,
) -> Result<(Vec<u8>, usize), String> {
    let strings = word(blob, 12)? as usize;
    let string_bytes = word(blob, 32)? as usize;
    let reservations = word(blob, 16)? as usize;
    let start = word(blob, 8)? as usize;
    let mut structure: Vec<u8> = Vec::new();
    let mut nodes: Vec<String> = Vec::new();
    let (mut at, mut changes) = (start, 0);
    loop {
        let token = word(blob, at)?;
        let begin = at;
        at += 4;
        match token {
            BEGIN_NODE => {
                let name = text(blob, at)?;
                nodes.push(name.to_owned());
                at = (at + name.len() + 1).next_multiple_of(4);
            }
            END_NODE => drop(nodes.pop()),
            PROP => {
                let (len, name) = (word(blob, at)? as usize, word(blob, at + 4)?);
                let value = blob.get(at + 8..at + 8 + len).ok_or("a cut value")?;
                at = (at + 8 + len).next_multiple_of(4);
                let node = nodes.last().map_or("", String::as_str);
                if let Some(new) = edit(node, text(blob, strings + name as usize)?, value) {
                    changes += 1;
                    for w in [PROP, new.len() as u32, name] {
                        structure.extend(w.to_be_bytes());
                    }
                    structure.extend(&new);
                    structure.resize(structure.len().next_multiple_of(4), 0);
                    continue;
                }
            }
            END => {
                structure.extend(END.to_be_bytes());
                break;
            }
            // Nothing to keep.
            _ => continue,
        }
        structure.extend(&blob[begin..at]);
    }
    let reserved = blob.get(reservations..start).ok_or("tables out of order")?;
    let names = blob
        .get(strings..strings + string_bytes)
        .ok_or("no strings")?;
    let structure_at = HEADER + reserved.len();
    let strings_at = structure_at + structure.len();
    let mut out = blob[..HEADER].to_vec();
    let mut set = |field: usize, value: usize| {
        out[field..field + 4].copy_from_slice(&(value as u32).to_be_bytes());
    };
    set(4, strings_at + names.len());
    set(8, structure_at);
    set(12, strings_at);
    set(16, HEADER);
    set(36, structure.len());
    for part in [reserved, &structure, names] {
        out.extend(part);
    }
    Ok((out, changes))
}
