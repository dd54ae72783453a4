//! HTTP/2 frames (RFC 9113 section 4.1), followed in bytes that pass in pieces. Only their heads
//! are looked at.

/// Length of a frame's head.
const HEAD_BYTES: usize = 9;
/// Of what says goodbye one reads on to why: the last stream, and the error.
const GOODBYE_BYTES: usize = 8;

/// Where one is, from frame to frame.
#[derive(Debug)]
pub(super) struct Frames {
    skip_bytes: usize,
    head: [u8; HEAD_BYTES + GOODBYE_BYTES],
    head_bytes: usize,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes that follow.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    /// Why a [`Head::GOAWAY`] ends the connection; 0 where nothing is wrong.
    pub error: u32,
}

impl Head {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const GOAWAY: u8 = 7;
    /// Of data and headers: nothing follows on the stream.
    pub(super) const END_STREAM: u8 = 1;
}

impl Frames {
    /// Frames that begin after so many bytes.
    pub(super) fn after(skip_bytes: usize) -> Self {
        Self { skip_bytes, head: [0; HEAD_BYTES + GOODBYE_BYTES], head_bytes: 0 }
    }

    /// The next frame whose head is complete with these bytes, which are taken up to there; `None`
    /// once all are taken.
    pub(super) fn next(&mut self, rest: &mut &[u8]) -> Option<Head> {
        loop {
            if self.skip_bytes > 0 {
                let skipped = self.skip_bytes.min(rest.len());
                self.skip_bytes -= skipped;
                *rest = rest.get(skipped..).unwrap_or_default();
            }
            let (next, tail) = rest.split_first()?;
            if let Some(place) = self.head.get_mut(self.head_bytes) {
                *place = *next;
            }
            self.head_bytes += 1;
            *rest = tail;
            if self.head_bytes < HEAD_BYTES {
                continue;
            }
            let [a, b, c, kind, flags, _, _, _, _, _, _, _, _, error @ ..] = self.head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let is_goodbye = kind == Head::GOAWAY && length >= GOODBYE_BYTES;
            let read_bytes = self.head_bytes - HEAD_BYTES;
            if is_goodbye && read_bytes < GOODBYE_BYTES {
                continue;
            }
            self.skip_bytes = length - read_bytes;
            self.head_bytes = 0;
            let error = if is_goodbye { u32::from_be_bytes(error) } else { 0 };
            return Some(Head { length, kind, flags, error });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_their_bytes_come() {
        let head = |length, kind, flags, error| Head { length, kind, flags, error };
        let goodbye = |error: u8| {
            [&[0, 0, 10, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, error][..], b"no"].concat()
        };
        let frames = [
            (vec![0, 0, 4, Head::DATA, 1, 0, 0, 0, 1, 7, 7, 7, 7], head(4, 0, 1, 0)),
            (vec![0, 0, 0, 4, 1, 0, 0, 0, 0], head(0, 4, 1, 0)),
            (goodbye(11), head(10, 7, 0, 11)),
            ([&[0, 1, 0, 9, 4, 0, 0, 0, 1][..], &[7; 256]].concat(), head(256, 9, 4, 0)),
            (goodbye(0), head(10, 7, 0, 0)),
            // Too short to say why.
            (vec![0, 0, 1, 7, 0, 0, 0, 0, 0, 7], head(1, 7, 0, 0)),
            (vec![0, 0, 0, 6, 0, 0, 0, 0, 0], head(0, 6, 0, 0)),
        ];
        let bytes: Vec<u8> = [b"before".to_vec()]
            .into_iter()
            .chain(frames.iter().map(|(bytes, _)| bytes.clone()))
            .flatten()
            .collect();
        let expected: Vec<Head> = frames.iter().map(|(_, head)| *head).collect();
        for piece_bytes in [1, 2, 3, 8, 9, 10, 16, 17, 100, bytes.len()] {
            let mut at = Frames::after(b"before".len());
            let mut found = Vec::new();
            for mut piece in bytes.chunks(piece_bytes) {
                found.extend(std::iter::from_fn(|| at.next(&mut piece)));
            }
            assert_eq!(found, expected, "in pieces of {piece_bytes}");
        }
    }
}
