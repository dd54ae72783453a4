//! What was sealed and may have to be sent again.
//!
//! A chunk is never sealed twice: with the source changed in between, two plaintexts would be sealed
//! under one key and nonce. So what the vault may still lose is kept, as it was sealed.

use std::collections::VecDeque;

use bytes::Bytes as Buffer;

/// Bytes that are kept at most; with as many not durable at the vault, sealing waits.
pub(super) const WINDOW_BYTES_MAX: usize = 24 << 20;

/// Pieces in order, from the first that is kept.
#[derive(Debug)]
pub(super) struct Window {
    pieces: VecDeque<Buffer>,
    bytes: usize,
    bytes_max: usize,
    /// Where the first of them begins.
    begins: u64,
    /// How much the vault has durably.
    durable: u64,
    /// What is to be sent next.
    next: u64,
}

impl Window {
    pub(super) fn new(bytes_max: usize) -> Self {
        let pieces = VecDeque::new();
        Self { pieces, bytes: 0, bytes_max, begins: 0, durable: 0, next: 0 }
    }

    fn ends(&self) -> u64 {
        self.begins + self.bytes as u64
    }

    /// Whether there is room for one more piece. What is durable is kept until its room is needed.
    pub(super) fn has_room(&mut self) -> bool {
        while self.bytes >= self.bytes_max {
            let ends = |piece: &Buffer| self.begins + piece.len() as u64;
            match self.pieces.front() {
                Some(first) if ends(first) <= self.durable.min(self.next) => {
                    self.begins += first.len() as u64;
                    self.bytes -= first.len();
                    self.pieces.pop_front();
                }
                Some(_) | None => return false,
            }
        }
        true
    }

    /// Takes what was sealed next.
    pub(super) fn push(&mut self, piece: Buffer) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// The vault has so much durably.
    pub(super) fn is_durable(&mut self, bytes: u64) {
        self.durable = self.durable.max(bytes);
    }

    /// Goes back to a place. Whether what comes from there on is kept.
    pub(super) fn rewind(&mut self, to: u64) -> bool {
        let is_kept = (self.begins..=self.ends()).contains(&to);
        if is_kept {
            (self.next, self.durable) = (to, to);
        }
        is_kept
    }

    /// Whether there is something to be sent.
    pub(super) fn has_next(&self) -> bool {
        self.next < self.ends()
    }

    /// What is to be sent next.
    pub(super) fn next(&mut self) -> Option<Buffer> {
        let mut begins = self.begins;
        for piece in &self.pieces {
            let ends = begins + piece.len() as u64;
            if self.next < ends {
                let from = usize::try_from(self.next - begins).unwrap_or(usize::MAX);
                self.next = ends;
                return Some(piece.slice(from.min(piece.len())..));
            }
            begins = ends;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_durable_is_kept_and_sent_again_from_anywhere() {
        let mut window = Window::new(10);
        let sealed: Vec<u8> = (0..40).collect();
        let mut pieces = sealed.chunks(4);
        let fill = |window: &mut Window, pieces: &mut std::slice::Chunks<'_, u8>| {
            while window.has_room() {
                window.push(Buffer::copy_from_slice(pieces.next().unwrap()));
            }
        };
        let sent = |window: &mut Window| {
            let pieces = std::iter::from_fn(|| window.next());
            pieces.flat_map(|piece| piece.to_vec()).collect::<Vec<u8>>()
        };
        fill(&mut window, &mut pieces);
        assert_eq!(sent(&mut window), sealed[..12], "full, and over by less than a piece");
        assert!(!window.has_next());
        for (to, from) in [(12, 12), (0, 0), (5, 5), (8, 8), (3, 3)] {
            assert!(window.rewind(to), "{to}");
            assert_eq!(sent(&mut window), sealed[from..12]);
        }
        assert!(!window.rewind(13), "nothing is sent that was not sealed");
        assert!(!window.has_room(), "of the first piece a byte is not durable");
        window.is_durable(9);
        assert!(window.rewind(9), "what is durable is kept while there is room");
        fill(&mut window, &mut pieces);
        assert_eq!(sent(&mut window), sealed[9..20]);
        assert!(!window.rewind(7), "its room was needed");
        assert!(window.rewind(8));
        assert_eq!(sent(&mut window), sealed[8..20]);
        window.is_durable(20);
        assert!(window.rewind(20));
        fill(&mut window, &mut pieces);
        assert_eq!(sent(&mut window), sealed[20..32]);
    }
}
