//! What a log hands to a witness: its newest checkpoint, and the proof that it continues the one which
//! the witness had last (the body of C2SP tlog-witness's `add-checkpoint`).

use std::fmt;
use std::str::FromStr;

use crate::domain::id::{Digest, Malformed};
use crate::ledger::checkpoint::{base64, parse_base64, parse_number};

/// Most hashes that may be handed in.
pub const HASHES_MAX: usize = 63;

/// What a witness says of the size that it answers with instead of a cosignature.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

/// A checkpoint for a witness. Whether anything in it is true, nobody has looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The size that the witness had last; 0 for none.
    pub old: u64,
    /// The consistency proof from that size (RFC 9162, 2.1.4.1).
    pub proof: Vec<Digest>,
    /// The checkpoint, as a signed note.
    pub checkpoint: String,
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Submission {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parsed = || {
            let (before, checkpoint) = text.split_once("\n\n")?;
            let mut lines = before.split('\n');
            let old = parse_number(lines.next()?.strip_prefix("old ")?)?;
            let proof: Vec<_> = lines.map(parse_base64).collect::<Option<_>>()?;
            let checkpoint = checkpoint.to_owned();
            (proof.len() <= HASHES_MAX).then_some(Self { old, proof, checkpoint })
        };
        let rule = "an old size, a proof and a checkpoint as in C2SP tlog-witness";
        parsed().ok_or_else(|| Malformed::new(text, "a submission", rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;

    /// The specification's example.
    const EXAMPLE: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

    #[test]
    fn a_submission_has_one_spelling() {
        let read: Submission = EXAMPLE.parse().unwrap();
        assert_eq!((read.old, read.proof.len()), (20_852_014, 4));
        assert!(read.checkpoint.starts_with("example.com/behind-the-sofa\n20852163\n"));
        assert_eq!(read.to_string(), EXAMPLE);
        let first = Submission { old: 0, proof: Vec::new(), ..read };
        assert_eq!(first.to_string().parse(), Ok(first));
        for (from, to) in [
            ("old 2", "old 02"),
            ("old 2", "old +2"),
            ("old 2", "old -2"),
            ("old 2", "old  2"),
            ("old 2", "Old 2"),
            ("old 20852014\n", ""),
            ("old 20852014", "old "),
            ("old 20852014", "old 18446744073709551616"),
            ("old 20852014\n", "old 20852014\r\n"),
            ("PlRN", "PlR"),
            ("kaw=", "kax="),
            ("\n\nexample", "\nexample"),
        ] {
            let other = EXAMPLE.replacen(from, to, 1);
            assert_ne!(other, EXAMPLE, "{from:?}");
            assert!(other.parse::<Submission>().is_err(), "{other}");
        }
        let with = |count| {
            let hashes = format!("{}\n", base64(&Bytes([1; 32]))).repeat(count);
            EXAMPLE.replacen("014\n", &format!("014\n{hashes}"), 1)
        };
        assert!(with(HASHES_MAX - 4).parse::<Submission>().is_ok());
        assert!(with(HASHES_MAX - 3).parse::<Submission>().is_err());
    }
}
