//! Reads a request's body to its end and throws it away.
//!
//! The server has no use for bodies, but must find where they end. Chunked framing is read strictly:
//! a chunk size is 1 to 8 hexadecimal digits, extensions are skipped, every line ends with CR LF.

use super::request::{BODY_LIMIT, Framing, HEAD_LIMIT};
use super::response::Status;

const EXTENSION_LIMIT: u32 = 256;

/// Position in a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    /// Bytes left of a body with a length.
    Length(u64),
    /// In a chunk-size line.
    Size { value: u32, digits: u8, total: u64 },
    /// In the rest of a chunk-size line.
    Extension { value: u32, seen: u32, total: u64 },
    /// CR of a chunk-size line was read.
    SizeEnd { value: u32, total: u64 },
    /// In a chunk's data.
    Data { left: u32, total: u64 },
    /// After the data: CR, then LF.
    DataEnd { lf: bool, total: u64 },
    /// In the trailer: length of the current line, bytes in all, whether CR was read.
    Trailer { line: u32, seen: u32, cr: bool },
    /// Complete.
    Done,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::Done,
            Framing::Length(n) => Self::Length(n),
            Framing::Chunked => Self::Size {
                value: 0,
                digits: 0,
                total: 0,
            },
        }
    }

    /// Consumes bytes of `input`; the number of bytes that belong to the body. It is less than
    /// `input.len()` only when the body is complete.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<usize, Status> {
        let mut at = 0;
        while at < input.len() && *self != Self::Done {
            match self {
                Self::Length(left) => {
                    let n = (input.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    at += n;
                    *left -= n as u64;
                    if *left == 0 {
                        *self = Self::Done;
                    }
                }
                Self::Data { left, total } => {
                    let n = (input.len() - at).min(*left as usize);
                    at += n;
                    *left -= n as u32;
                    if *left == 0 {
                        *self = Self::DataEnd {
                            lf: false,
                            total: *total,
                        };
                    }
                }
                _ => {
                    *self = self.framing_byte(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// One byte of chunked framing.
    fn framing_byte(self, b: u8) -> Result<Self, Status> {
        let bad = Err(Status::BadRequest);
        Ok(match self {
            Self::Size {
                value,
                digits,
                total,
            } => match (b as char).to_digit(16) {
                Some(_) if digits == 8 => return bad,
                Some(d) => {
                    let value = (value << 4) | d;
                    if total + u64::from(value) > BODY_LIMIT {
                        return Err(Status::ContentTooLarge);
                    }
                    Self::Size {
                        value,
                        digits: digits + 1,
                        total,
                    }
                }
                None if digits == 0 => return bad,
                None if b == b'\r' => Self::SizeEnd { value, total },
                None if matches!(b, b';' | b' ' | b'\t') => Self::Extension {
                    value,
                    seen: 1,
                    total,
                },
                None => return bad,
            },
            Self::Extension { value, total, .. } if b == b'\r' => Self::SizeEnd { value, total },
            Self::Extension { .. } if b == b'\n' => return bad,
            Self::Extension { seen, .. } if seen >= EXTENSION_LIMIT => return bad,
            Self::Extension { value, seen, total } => Self::Extension {
                value,
                seen: seen + 1,
                total,
            },
            Self::SizeEnd { .. } if b != b'\n' => return bad,
            Self::SizeEnd { value: 0, .. } => Self::Trailer {
                line: 0,
                seen: 0,
                cr: false,
            },
            Self::SizeEnd { value, total } => Self::Data {
                left: value,
                total: total + u64::from(value),
            },
            Self::DataEnd { lf: false, total } if b == b'\r' => Self::DataEnd { lf: true, total },
            Self::DataEnd { lf: true, total } if b == b'\n' => Self::Size {
                value: 0,
                digits: 0,
                total,
            },
            Self::DataEnd { .. } => return bad,
            Self::Trailer { seen, .. } if seen as usize >= HEAD_LIMIT => {
                return Err(Status::HeaderFieldsTooLarge);
            }
            Self::Trailer {
                line: 0, cr: true, ..
            } if b == b'\n' => Self::Done,
            Self::Trailer { cr: true, seen, .. } if b == b'\n' => Self::Trailer {
                line: 0,
                seen: seen + 1,
                cr: false,
            },
            Self::Trailer { cr: true, .. } => return bad,
            Self::Trailer { .. } if b == b'\n' => return bad,
            Self::Trailer { line, seen, .. } => {
                let cr = b == b'\r';
                Self::Trailer {
                    line: line + u32::from(!cr),
                    seen: seen + 1,
                    cr,
                }
            }
            Self::Length(_) | Self::Data { .. } | Self::Done => self,
        })
    }
}
