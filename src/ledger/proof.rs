//! Proofs that stand alone: where an entry is in the log, and the log's signed checkpoint, as text
//! (C2SP tlog-proof).

use std::fmt;
use std::str::FromStr;

use crate::domain::id::{Digest, Malformed};
use crate::ledger::checkpoint::{base64, parse_base64, parse_number};
use crate::ledger::merkle::PROOF_HASHES_MAX;

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// That an entry is in the log. Whether it is true, [`crate::ledger::merkle::check_inclusion`] says,
/// once the checkpoint's signature has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The entry's position.
    pub position: u64,
    /// Hashes from the entry's sibling up.
    pub hashes: Vec<Digest>,
    /// The log's checkpoint, as a signed note.
    pub checkpoint: String,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.position)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Proof {
    type Err = Malformed;

    /// Reads a proof. One with extra data, which nothing vouches for, is refused: these have none.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parsed = || {
            let (path, checkpoint) = text.split_once("\n\n")?;
            let mut lines = path.split('\n');
            lines.next().filter(|line| *line == HEADER)?;
            let position = parse_number(lines.next()?.strip_prefix("index ")?)?;
            let hashes: Vec<_> = lines.map(parse_base64).collect::<Option<_>>()?;
            let checkpoint = checkpoint.to_owned();
            (hashes.len() <= PROOF_HASHES_MAX).then_some(Self { position, hashes, checkpoint })
        };
        parsed().ok_or_else(|| Malformed::new(text, "a proof", "C2SP tlog-proof, version 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;

    #[test]
    fn a_proof_has_one_spelling() {
        let hashes = vec![Bytes([1; 32]), Bytes([2; 32])];
        let checkpoint = "vault.example/1\n9\nroot\n\n— sig\n".to_owned();
        let proof = Proof { position: 3, hashes, checkpoint };
        let text = proof.to_string();
        assert_eq!(text.parse(), Ok(proof.clone()));
        let alone = Proof { position: 0, hashes: Vec::new(), ..proof };
        assert_eq!(alone.to_string().parse(), Ok(alone));
        for (from, to) in [
            ("@v1", "@v2"),
            ("index 3", "index 03"),
            ("index 3", "index"),
            ("index 3", "extra AAAA\nindex 3"),
            ("AQEB", "AQE"),
            ("AQEB", "!QEB"),
            ("=\n\nvault", "=\nvault"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{from:?}");
            // What is taken for the rest of the proof is none.
            assert!(other.parse::<Proof>().is_err(), "{other}");
        }
        let long = text.replacen(
            "index 3\n",
            &format!("index 3\n{}", format!("{}\n", base64(&Bytes([1; 32]))).repeat(63)),
            1,
        );
        assert!(long.parse::<Proof>().is_err(), "65 hashes");
    }
}
