//! How many frames that carry nothing a peer may send.
//!
//! HTTP/2 has many ways to keep a server busy with frames of a few bytes: pings, settings, resets,
//! empty data, headers in endless pieces. Each costs a token. Tokens come back with time, with
//! calls, and with data in either direction; who runs out of them is sent away.

use std::time::Instant;

use crate::server::frames::{Frames, Head};

/// Tokens a connection begins with, and may have at most.
const TOKENS_MAX: f64 = 2_000.0;
/// Tokens that come back in a second.
const TOKENS_PER_SECOND: f64 = 100.0;
/// Bytes of data for one token: whoever reads much may say so and measure the line, and whoever
/// sends much has to answer when the vault measures it.
const BYTES_PER_TOKEN: f64 = 4_096.0;
/// What a call is worth: a client may acknowledge small answers one by one.
const TOKENS_PER_CALL: f64 = 2.0;
/// What it costs to take a call back.
const RESET_COST: f64 = 2.0 * TOKENS_PER_CALL;
/// Data that does not end a stream and is smaller than this is as good as none, in bytes.
const DATA_BYTES_MIN: usize = 64;
/// Calls that whoever has no certificate may make at once, and in a second from then on. Joining
/// takes three.
const STRANGER_CALLS_MAX: f64 = 16.0;
const STRANGER_CALLS_PER_SECOND: f64 = 2.0;

/// Length of the words every HTTP/2 client begins with (RFC 9113 section 3.4).
pub(super) const PREFACE_BYTES: usize = 24;

/// A peer that keeps the vault busy with nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flood {
    /// With frames.
    #[error("the peer sent too many frames that carry nothing")]
    Frames,
    /// With calls, without a certificate.
    #[error("the peer made too many calls without a client certificate")]
    Calls,
}

/// Follows what a peer sends from frame to frame.
#[derive(Debug)]
pub(super) struct Meter {
    sent: Frames,
    frames: Tokens,
    calls: Option<Tokens>,
}

#[derive(Debug)]
struct Tokens {
    left: f64,
    max: f64,
    per_second: f64,
    at: Instant,
}

impl Meter {
    pub(super) fn new(is_stranger: bool, now: Instant) -> Self {
        let frames = Tokens::new(TOKENS_MAX, TOKENS_PER_SECOND, now);
        let calls = Tokens::new(STRANGER_CALLS_MAX, STRANGER_CALLS_PER_SECOND, now);
        let calls = is_stranger.then_some(calls);
        Self { sent: Frames::after(PREFACE_BYTES), frames, calls }
    }

    /// Bytes went out to the peer.
    pub(super) fn written(&mut self, bytes: usize) {
        self.frames.earn(bytes as f64 / BYTES_PER_TOKEN);
    }

    /// Bytes came from the peer, in order: so many frames.
    pub(super) fn read(&mut self, bytes: &[u8], now: Instant) -> Result<usize, Flood> {
        let (mut rest, mut frames) = (bytes, 0);
        while let Some(head) = self.sent.next(&mut rest) {
            self.frame(head, now)?;
            frames += 1;
        }
        Ok(frames)
    }

    fn frame(&mut self, head: Head, now: Instant) -> Result<(), Flood> {
        let Head { length, kind, flags, .. } = head;
        let cost = match kind {
            Head::DATA if flags & Head::END_STREAM != 0 || length >= DATA_BYTES_MIN => {
                self.frames.earn(length as f64 / BYTES_PER_TOKEN);
                return Ok(());
            }
            Head::HEADERS => {
                self.frames.earn(TOKENS_PER_CALL);
                let calls = self.calls.as_mut();
                return match calls.is_none_or(|calls| calls.spend(1.0, now)) {
                    true => Ok(()),
                    false => Err(Flood::Calls),
                };
            }
            Head::RST_STREAM => RESET_COST,
            _ => 1.0,
        };
        if self.frames.spend(cost, now) { Ok(()) } else { Err(Flood::Frames) }
    }
}

impl Tokens {
    fn new(max: f64, per_second: f64, now: Instant) -> Self {
        Self { left: max, max, per_second, at: now }
    }

    fn earn(&mut self, tokens: f64) {
        self.left = (self.left + tokens).min(self.max);
    }

    fn spend(&mut self, tokens: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.earn(passed * self.per_second);
        self.left -= tokens;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(payload).unwrap().to_be_bytes();
        let header = [high, middle, low, kind, flags, 0, 0, 0, 1];
        [header.as_slice(), &vec![0xff; payload]].concat()
    }

    #[test]
    fn frames_that_carry_nothing_run_out_and_others_do_not() {
        let headers = frame(1, 4, 40);
        for (what, frames, allowed) in [
            ("pings", frame(6, 0, 8), Some(2_000)),
            ("settings", frame(4, 0, 0), Some(2_000)),
            ("settings with values", frame(4, 0, 60), Some(2_000)),
            ("windows", frame(8, 0, 4), Some(2_000)),
            ("priorities", frame(2, 0, 5), Some(2_000)),
            ("headers in pieces", frame(9, 0, 100), Some(2_000)),
            ("frames nobody knows", frame(200, 0, 10), Some(2_000)),
            ("empty data", frame(0, 0, 0), Some(2_000)),
            ("data of a byte", frame(0, 0, 1), Some(2_000)),
            ("data", frame(0, 0, 64), None),
            ("the ends of calls", frame(0, 1, 0), None),
            ("calls", headers.clone(), None),
            ("calls taken back", [headers, frame(3, 0, 4)].concat(), Some(999)),
        ] {
            let now = Instant::now();
            let mut meter = Meter::new(false, now);
            meter.read(&[b'P'; PREFACE_BYTES], now).unwrap();
            // A byte at a time, as a slow line brings them.
            let mut send =
                || frames.iter().try_for_each(|byte| meter.read(&[*byte], now).map(drop));
            let sent = (0..5_000).find(|_| send().is_err());
            assert_eq!(sent, allowed, "{what}");
        }
    }

    #[test]
    fn tokens_come_back_with_time_and_with_what_is_read() {
        let now = Instant::now();
        let mut meter = Meter::new(false, now);
        meter.read(&[b'P'; PREFACE_BYTES], now).unwrap();
        let pings = frame(6, 0, 8).repeat(2_000);
        let hundred = frame(6, 0, 8).repeat(100);
        assert_eq!(meter.read(&pings, now), Ok(2_000));
        meter.written(100 * 4_096);
        meter.read(&hundred, now).unwrap();
        meter.read(&frame(0, 0, 100 * 4_096), now).unwrap();
        meter.read(&hundred, now).unwrap();
        meter.read(&hundred, now + Duration::from_secs(1)).unwrap();
        assert_eq!(meter.read(&hundred, now + Duration::from_secs(1)), Err(Flood::Frames));
    }

    #[test]
    fn strangers_have_few_calls() {
        let now = Instant::now();
        let mut meter = Meter::new(true, now);
        meter.read(&[b'P'; PREFACE_BYTES], now).unwrap();
        meter.read(&frame(1, 5, 40).repeat(16), now).unwrap();
        let later = now + Duration::from_secs(1);
        meter.read(&frame(1, 5, 40).repeat(2), later).unwrap();
        assert_eq!(meter.read(&frame(1, 5, 40), later), Err(Flood::Calls));
    }
}
