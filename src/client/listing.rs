//! Which agreements there are, as the vault lists them page by page.

use crate::client::error::ClientError;
use crate::domain::id::AgreementId;

/// Agreements that one home follows.
const AGREEMENTS_MAX: usize = 1 << 16;

/// What was listed so far.
#[derive(Debug, Default)]
pub(super) struct Listing {
    ids: Vec<AgreementId>,
}

impl Listing {
    /// Behind which agreement the next page begins.
    pub(super) fn after(&self) -> String {
        self.ids.last().map(ToString::to_string).unwrap_or_default()
    }

    /// Takes one more page.
    pub(super) fn take(&mut self, page: Vec<String>) -> Result<(), ClientError> {
        for text in page {
            let id = text.parse().map_err(|_| untrue("the list of agreements"))?;
            // Only a list that rises comes to an end.
            if self.ids.last().is_some_and(|last| *last >= id) {
                return Err(untrue("agreements out of order"));
            }
            if self.ids.len() >= AGREEMENTS_MAX {
                return Err(ClientError::input(
                    "TOO_MANY",
                    format!("the vault lists more than {AGREEMENTS_MAX} agreements"),
                    "ask the operator; this program follows no more than that",
                ));
            }
            self.ids.push(id);
        }
        Ok(())
    }

    /// All of them.
    pub(super) fn ids(self) -> Vec<AgreementId> {
        self.ids
    }
}

fn untrue(what: &str) -> ClientError {
    ClientError::Untrue(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Bytes;

    /// So many ids in order.
    fn rising(count: usize) -> Vec<String> {
        let id = |n: usize| {
            let mut digest = [0; 32];
            digest.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
            AgreementId::of(&Bytes(digest)).to_string()
        };
        let mut ids: Vec<_> = (0..count).map(id).collect();
        ids.sort();
        ids
    }

    #[test]
    fn a_list_is_taken_as_long_as_it_rises_and_within_its_bound() {
        let all = rising(AGREEMENTS_MAX + 1);
        let (most, one_more) = all.split_at(AGREEMENTS_MAX);
        let code = |refused: ClientError| refused.code().to_owned();
        let untrue = Err("UNTRUE".to_owned());
        let mut listing = Listing::default();
        assert_eq!(listing.after(), "");
        for page in most.chunks(1_000) {
            listing.take(page.to_vec()).unwrap();
            assert_eq!(Some(&listing.after()), page.last());
        }
        assert_eq!(listing.take(one_more.to_vec()).map_err(code), Err("TOO_MANY".to_owned()));
        assert_eq!(listing.ids().len(), AGREEMENTS_MAX);
        // All in one page is no way around it.
        assert_eq!(Listing::default().take(all.clone()).map_err(code), Err("TOO_MANY".to_owned()));
        for (page, why) in [
            (vec![all[1].clone(), all[0].clone()], "falls"),
            (vec![all[1].clone(), all[1].clone()], "stays"),
            (vec!["agr_".to_owned()], "is none"),
        ] {
            assert_eq!(Listing::default().take(page).map_err(code), untrue, "{why}");
        }
        let mut listing = Listing::default();
        listing.take(vec![all[1].clone()]).unwrap();
        assert_eq!(listing.take(vec![all[0].clone()]).map_err(code), untrue, "over two pages");
    }
}
